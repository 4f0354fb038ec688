"""The six patterns, one file each: a ``select`` over K, with its table of edges (rules §6)."""
