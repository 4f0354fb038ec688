"""What waits, what is in flight, and what the gates may send where: the dispatcher (G, W)."""
