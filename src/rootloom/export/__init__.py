"""Trained models outside of the workflow."""
