"""Whom a round may ask: who they are, what they are known for, and who is chosen (P8, P9)."""
