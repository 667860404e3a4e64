"""Data configurations of weaver-core."""
