"""Comparison of generated and real examples."""
