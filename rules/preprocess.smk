"""Turn one range of a ROOT file's entries into one shard of one representation.

Reads straight from the ROOT file with bounded memory. An existing shard is updated: columns whose
recipe has not changed are kept as they are, only the others are computed.
"""


rule preprocess:
    input:
        root=lambda wildcards: PLAN.root_inputs(wildcards.file),
        index=PATHS.index("{dataset}", "{file}"),
    output:
        shard=update(PATHS.shard("{dataset}", "{representation}", "{file}", "{part}")),
    log:
        PATHS.log("preprocess", "{dataset}", "{representation}", "{file}", "{part}"),
    benchmark:
        PATHS.benchmark(
            "preprocess", "{dataset}", "{representation}", "{file}", "{part}"
        )
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(60),
        disk_mb=1000,
    params:
        job=job_of("preprocess"),
    script:
        "../scripts/preprocess.py"
