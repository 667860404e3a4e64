"""Plots and the HTML report, made only from result files."""
