"""Gather each method that scores rows in one file, which is used without the workflow.

A bundle has all members of a method, the expressions of its inputs, cuts, metrics, and rows by which
whoever loads it sees that it still says the same.
"""


rule bundle:
    input:
        models=reads("bundle", lambda wildcards: PLAN.models(wildcards.method)),
        predictions=reads(
            "bundle",
            lambda wildcards: PLAN.applied(
                of_training(wildcards), wildcards.method, "validation"
            ),
        ),
        manifests=shards_for("bundle"),
    output:
        bundle=PATHS.bundle("{experiment}", "{method}"),
    log:
        PATHS.log("bundle", "{experiment}", "{method}"),
    benchmark:
        PATHS.benchmark("bundle", "{experiment}", "{method}")
    wildcard_constraints:
        method=any_of(REQUEST.experiment.methods),
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("bundle", 2000),
        runtime=minutes("bundle", 30),
        disk_mb=500,
    params:
        job=job_of("bundle"),
        files=number_of_files,
    script:
        "../scripts/bundle.py"
