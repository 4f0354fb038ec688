"""What helps people work on covend; none of it is installed."""
