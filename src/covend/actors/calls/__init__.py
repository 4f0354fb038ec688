"""What runs ask outside of the core: the courier carries each call out once (P4, P12)."""
