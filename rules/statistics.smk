"""Exact statistics of the training split, as a map and a reduce.

`moments` sums a pack of files, `statistics` merges the packs. The order of the sums is one of the
files alone, so that the result has the same bits however they are packed.
"""


rule moments:
    input:
        manifests=reads("moments", shards_of_pack, same_again=True),
    output:
        moments=PATHS.moments("{dataset}", "{representation}", "{pack}"),
    log:
        PATHS.log("moments", "{dataset}", "{representation}", "{pack}"),
    benchmark:
        PATHS.benchmark("moments", "{dataset}", "{representation}", "{pack}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("moments", 1500),
        runtime=minutes_of_pack("moments"),
        disk_mb=100,
    params:
        job=job_of("moments"),
    script:
        "../scripts/moments.py"


rule statistics:
    input:
        moments=reads(
            "statistics",
            lambda wildcards: [
                PATHS.moments(wildcards.dataset, wildcards.representation, pack)
                for pack in files(wildcards).packs
            ],
            same_again=True,
        ),
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
        mem_mb=memory("statistics", 1000),
        runtime=minutes("statistics", 10),
        disk_mb=100,
    params:
        job=job_of("statistics"),
    script:
        "../scripts/statistics.py"
