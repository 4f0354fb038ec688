"""What a query is, as it is written down, drafted, checked and admitted (P7)."""
