"""Generated samples beside real ones."""
