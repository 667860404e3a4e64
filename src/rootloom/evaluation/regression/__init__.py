"""Numbers, directions and tracks beside their truth."""
