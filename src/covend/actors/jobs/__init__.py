"""Work for this box's own workers: the broker, its book of jobs, and the ghouls (S17)."""
