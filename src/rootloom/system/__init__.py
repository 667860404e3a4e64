"""Atomic files, path patterns, errors of the machine, provenance."""

DECIDES_NO_VALUE = "tests/unit/test_digests.py::test_a_flipped_bit_of_any_byte_is_refused"
