"""The configuration: typed sections, the schema, and the registry of classes."""

DECIDES_NO_VALUE = "tests/unit/test_fingerprint.py::test_what_decides_no_value_handles_no_arrays"
