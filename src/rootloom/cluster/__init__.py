"""Batch systems: records on disk of submitted jobs, the lease of the head, `rootloom doctor`."""

DECIDES_NO_VALUE = "tests/cluster/test_slurm.py::test_the_whole_workflow_runs_each_job_once_and_like_jobs_as_arrays"  # noqa: E501
