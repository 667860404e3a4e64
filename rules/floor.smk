"""Compare real rows of the test split with real ones of the training split, once for all methods.

Evaluations that compare with real rows need this floor: a generator can be closer only by chance.
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
