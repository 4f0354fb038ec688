"""What is resident: the arbiter, the transitions it runs, covens and their soulstones (W)."""
