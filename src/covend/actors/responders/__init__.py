"""Who can be asked, and what was learned of each: the registry (P8)."""
