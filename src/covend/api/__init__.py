"""The HTTP API of queries, the inbox and responders: one process behind the gate."""
