"""What a user writes: typed sections, the schema, names and where their classes live."""

DECIDES_NO_VALUE = "tests/unit/test_fingerprint.py::test_what_decides_no_value_handles_no_arrays"
