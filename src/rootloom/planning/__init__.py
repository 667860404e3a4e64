"""What there is to do: the request, its files, its jobs and what each depends on."""

DECIDES_NO_VALUE = "tests/workflow/test_reruns.py::test_two_runs_from_scratch_agree"
