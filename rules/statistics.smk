"""Exact statistics of the training split, as a map and a reduce.

`moments` sums a group of files, `statistics` merges the groups in a fixed order.
"""


rule moments:
    input:
        shards=shards_for(
            "moments", PATHS.moments("{dataset}", "{representation}", "{group}")
        ),
    output:
        moments=PATHS.moments("{dataset}", "{representation}", "{group}"),
    log:
        PATHS.log("moments", "{dataset}", "{representation}", "{group}"),
    benchmark:
        PATHS.benchmark("moments", "{dataset}", "{representation}", "{group}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=scaled(1500),
        runtime=scaled(30),
        disk_mb=100,
    params:
        job=job_of("moments"),
    script:
        "../scripts/moments.py"


rule statistics:
    input:
        moments=lambda wildcards: [
            PATHS.moments(wildcards.dataset, wildcards.representation, group)
            for group in range(len(PLAN.groups))
        ],
    output:
        statistics=PATHS.statistics("{dataset}", "{representation}"),
    log:
        PATHS.log("statistics", "{dataset}", "{representation}"),
    benchmark:
        PATHS.benchmark("statistics", "{dataset}", "{representation}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(10),
        disk_mb=100,
    params:
        job=job_of("statistics"),
    script:
        "../scripts/statistics.py"
