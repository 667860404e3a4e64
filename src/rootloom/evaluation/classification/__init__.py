"""Evaluation of classes: discrimination, thresholds, calibration, confusion, significance."""
