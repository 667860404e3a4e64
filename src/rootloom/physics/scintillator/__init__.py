"""Muons through a sphere of scintillator: light, PMTs, fits of tracks."""
