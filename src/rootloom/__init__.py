"""rootloom weaves ROOT files into trained deep-learning models."""

__version__ = "0.1.0"
