"""What there is to do: the request, its files, its jobs and what each depends on."""

DECIDES_NO_VALUE = "tests/unit/test_identity.py::test_names_of_jobs_are_in_no_number"
