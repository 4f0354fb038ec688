"""Tasks of people: what is shown of them, and how people hear of them: the herald (P18)."""
