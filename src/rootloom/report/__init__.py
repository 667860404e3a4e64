"""Plots and the HTML report, made from prediction and metric files only."""
