"""Fit a classifier that is not a network and score every row, in one job.

Its predictions have the format of a network's, so that everything after treats both alike.
"""


rule baseline:
    input:
        shards=ancient(lambda wildcards: shards_of(wildcards.method)),
        statistics=lambda wildcards: statistics_of(wildcards.method),
    output:
        predictions=PATHS.predictions("{experiment}", "{method}", "0"),
    params:
        job=job_of("baseline"),
    log:
        PATHS.log("baseline", "{experiment}", "{method}"),
    benchmark:
        PATHS.benchmark("baseline", "{experiment}", "{method}")
    wildcard_constraints:
        method=any_of(PLAN.experiment.baselines),
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(60),
        disk_mb=200,
    conda:
        "../envs/rootloom.yaml"
    script:
        "../scripts/baseline.py"
