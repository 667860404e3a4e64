"""Descriptions of data for other programs, converted to files of `config/`."""
