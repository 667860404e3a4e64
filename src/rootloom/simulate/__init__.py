"""Embedded sources: simulated events written as ROOT files."""
