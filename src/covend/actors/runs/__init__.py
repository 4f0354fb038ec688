"""Queries: the desk takes them in, an execution drives each run, the timekeeper wakes it (P)."""
