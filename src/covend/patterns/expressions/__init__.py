"""CEL: typed at admission, bounded in time and memory, and the same in every process (P15)."""
