"""Compare the examples that the members of a method made with real ones of the test split.

Real examples of the training split, compared in the same way and once for all methods, are the
floor. The outcome has the place and the format of any other evaluation.
"""


rule floor:
    input:
        manifests=shards_for("floor"),
        statistics=statistics_for("floor"),
    output:
        floor=PATHS.floor("{experiment}", "{dataset}", "{representation}"),
    log:
        PATHS.log("floor", "{experiment}", "{dataset}", "{representation}"),
    benchmark:
        PATHS.benchmark("floor", "{experiment}", "{dataset}", "{representation}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("floor", 2000),
        runtime=minutes("floor", 60),
        disk_mb=100,
    params:
        job=job_of("floor"),
        files=number_of_files,
    script:
        "../scripts/floor.py"


rule fidelity:
    input:
        examples=reads(
            "fidelity",
            lambda wildcards: PLAN.generated(wildcards.dataset, wildcards.method),
        ),
        models=reads("fidelity", lambda wildcards: PLAN.models(wildcards.method)),
        floor=reads(
            "fidelity",
            lambda wildcards: PATHS.floor(
                REQUEST.name,
                wildcards.dataset,
                REQUEST.representation_of(wildcards.method),
            ),
        ),
        manifests=shards_for("fidelity"),
        statistics=statistics_for("fidelity"),
    output:
        evaluation=PATHS.evaluation("{experiment}", "{dataset}", "{method}"),
    log:
        PATHS.log("fidelity", "{experiment}", "{dataset}", "{method}"),
    benchmark:
        PATHS.benchmark("fidelity", "{experiment}", "{dataset}", "{method}")
    wildcard_constraints:
        method=any_of(REQUEST.all_methods if REQUEST.makes_examples else []),
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("fidelity", 2000),
        runtime=minutes("fidelity", 60),
        disk_mb=100,
    params:
        job=job_of("fidelity"),
        files=number_of_files,
    script:
        "../scripts/fidelity.py"
