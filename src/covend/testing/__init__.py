"""What covend's own authors test with, as public API."""
