"""Files that are whole or not there, their names on disk, faults of the machine, provenance."""
