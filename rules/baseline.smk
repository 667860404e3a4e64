"""Fit a classifier that is not a network and score every row, in one job.

Its predictions have the format of a network's, so that everything after treats both alike.
"""


rule baseline:
    input:
        manifests=shards_for("baseline"),
        statistics=reads("baseline", statistics_of),
    output:
        **{
            split: PATHS.predictions("{experiment}", "{method}", "0", split)
            for split in GROUPS
        },
    log:
        PATHS.log("baseline", "{experiment}", "{method}"),
    benchmark:
        PATHS.benchmark("baseline", "{experiment}", "{method}")
    wildcard_constraints:
        method=any_of(REQUEST.experiment.baselines),
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("baseline", 2000),
        runtime=minutes("baseline", 60),
        disk_mb=200,
    params:
        job=job_of("baseline"),
        files=FILES.listing.files,
    script:
        "../scripts/baseline.py"
