"""Evaluation of predicted numbers, directions and tracks."""
