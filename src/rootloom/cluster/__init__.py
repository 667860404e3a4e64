"""Batch systems: records on disk of submitted jobs, the lease of the head, `rootloom doctor`."""

DECIDES_NO_VALUE = "tests/unit/test_fingerprint.py::test_jobs_use_nothing_else_of_these_rooms"
