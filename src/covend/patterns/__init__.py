"""Durable patterns: what should be asked of models next, as pure functions of a run's records."""
