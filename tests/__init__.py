"""Tests. What all of them share is here, beside `conftest.py`."""

# XLA compiles for a short time, not for fast programs: most tests compile longer than they compute.
# Its older emitters of loops take half the time of today's, with which users' programs are made.
COMPILE_FAST = (
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
    "--xla_cpu_parallel_codegen_split_count=1",
)
