"""Turn prediction files into metrics with uncertainties.

Reads prediction files only: an external tagger is evaluated by supplying the same file.
"""


rule evaluate:
    input:
        predictions=reads(
            "evaluate",
            lambda wildcards: PLAN.predictions(wildcards.dataset, wildcards.method),
        ),
        held_out=reads(
            "evaluate",
            lambda wildcards: PLAN.held_out(wildcards.dataset, wildcards.method),
        ),
    output:
        evaluation=PATHS.evaluation("{experiment}", "{dataset}", "{method}"),
    log:
        PATHS.log("evaluate", "{experiment}", "{dataset}", "{method}"),
    benchmark:
        PATHS.benchmark("evaluate", "{experiment}", "{dataset}", "{method}")
    wildcard_constraints:
        dataset=any_of([data.name for data in PLAN.datasets.evaluated]),
        method=any_of([] if REQUEST.makes_examples else REQUEST.all_methods),
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("evaluate", 1500),
        runtime=minutes("evaluate", 30),
        disk_mb=100,
    params:
        job=job_of("evaluate"),
    script:
        "../scripts/evaluate.py"
