"""Turn ROOT files into shards of one representation.

Reads straight from the ROOT file with bounded memory. `preprocess` works through a pack of files:
every shard is whole or absent, and one that is there and current is kept, so that a job that was
stopped goes on where it was. An existing shard of another recipe is updated: columns that have not
changed stay as they are, only the others are computed. `shard` makes one that got lost.
"""


rule preprocess:
    input:
        root=reads("preprocess", files_of),
        index=reads(
            "preprocess",
            lambda wildcards: PATHS.index(wildcards.dataset, wildcards.pack),
        ),
        branches=reads(
            "preprocess",
            lambda wildcards: PLAN.asked_first(wildcards.dataset),
            same_again=True,
        ),
    output:
        manifest=update(PATHS.manifest("{dataset}", "{representation}", "{pack}")),
    log:
        PATHS.log("preprocess", "{dataset}", "{representation}", "{pack}"),
    benchmark:
        PATHS.benchmark("preprocess", "{dataset}", "{representation}", "{pack}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("preprocess", 2000),
        runtime=minutes_of_pack("preprocess"),
        disk_mb=1000,
    params:
        job=job_of("preprocess"),
        listing=listing_of,
        shards=lambda wildcards: PATHS.shard(
            wildcards.dataset, wildcards.representation, "{file}", "{part}"
        ),
        changed=lambda wildcards: PATHS.changed(wildcards.dataset, "{file}"),
    script:
        "../scripts/preprocess.py"


rule shard:
    input:
        root=reads(
            "shard",
            lambda wildcards: files(wildcards).root_inputs(
                [files(wildcards).file(wildcards.file)]
            ),
        ),
        index=reads("shard", index_of_file),
    output:
        shard=PATHS.shard("{dataset}", "{representation}", "{file}", "{part}"),
    log:
        PATHS.log("shard", "{dataset}", "{representation}", "{folder}", "{file}.{part}"),
    benchmark:
        PATHS.benchmark(
            "shard", "{dataset}", "{representation}", "{folder}", "{file}.{part}"
        )
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("shard", 2000),
        runtime=minutes("shard", 60),
        disk_mb=1000,
    params:
        job=job_of("shard"),
        changed=lambda wildcards: PATHS.changed(wildcards.dataset, "{file}"),
    script:
        "../scripts/shard.py"
