"""Simulate events with an embedded source.

One job a file: its class's process, its own seed, a fixed number of accepted rows. The size of a
dataset is its number of files, so a larger one keeps every file that exists.
"""


rule simulate:
    input:
        reads("simulate", lambda wildcards: []),
    output:
        root=PATHS.simulated("{dataset}", "{file}"),
    log:
        PATHS.log("simulate", "{dataset}", "{block}", "{file}"),
    benchmark:
        PATHS.benchmark("simulate", "{dataset}", "{block}", "{file}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("simulate", 1000),
        runtime=minutes("simulate", 60),
        disk_mb=500,
    params:
        job=job_of("simulate"),
    script:
        "../scripts/simulate.py"
