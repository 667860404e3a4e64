"""Showers in a segmented calorimeter."""
