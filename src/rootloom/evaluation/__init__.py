"""Metrics, their uncertainties and working points, from prediction files."""
