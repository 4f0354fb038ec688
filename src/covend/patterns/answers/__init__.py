"""How a call is put, and how its answer is read, compared and folded (P11, P16, P17)."""
