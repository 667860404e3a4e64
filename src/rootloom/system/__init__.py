"""Atomic files, path patterns, errors of the machine, provenance."""

DECIDES_NO_VALUE = "tests/unit/test_fingerprint.py::test_jobs_use_nothing_else_of_these_rooms"
