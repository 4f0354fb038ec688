"""The phylactery: the box's durable memory, an append-only store of content-addressed records."""
