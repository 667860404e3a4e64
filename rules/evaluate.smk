"""Compute metrics with errors from the predictions or generated examples of a method.

For predictions only their files are read, so an external tagger is evaluated with such a file.
Generated examples are compared with real rows; the floor compares real rows with real ones.
"""


rule evaluate:
    input:
        results=reads(
            "evaluate",
            lambda wildcards: PLAN.evaluated(wildcards.dataset, wildcards.method),
        ),
        held_out=reads(
            "evaluate",
            lambda wildcards: PLAN.held_out(wildcards.dataset, wildcards.method),
        ),
        floor=reads(
            "evaluate",
            lambda wildcards: PLAN.floor(wildcards.dataset, wildcards.method),
        ),
        models=beside_real(
            reads("evaluate", lambda wildcards: PLAN.models(wildcards.method))
        ),
        manifests=beside_real(shards_for("evaluate")),
        statistics=beside_real(statistics_for("evaluate")),
    output:
        evaluation=PATHS.evaluation("{experiment}", "{dataset}", "{method}"),
    log:
        PATHS.log("evaluate", "{experiment}", "{dataset}", "{method}"),
    benchmark:
        PATHS.benchmark("evaluate", "{experiment}", "{dataset}", "{method}")
    wildcard_constraints:
        dataset=any_of([data.name for data in PLAN.datasets.evaluated]),
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("evaluate", 2000),
        runtime=minutes("evaluate", 60),
        disk_mb=100,
    params:
        job=job_of("evaluate"),
        files=number_of_files,
    script:
        "../scripts/evaluate.py"
