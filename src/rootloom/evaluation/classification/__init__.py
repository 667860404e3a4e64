"""Classes: discrimination, thresholds, calibration, confusion, significance."""
