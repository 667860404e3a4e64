"""What a user writes: typed sections, the schema, names and where their classes live."""
