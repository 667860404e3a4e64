"""Read the headers of a pack's ROOT files.

Entries, cluster boundaries, branches and types, checksum. A branch that the dataset file names and
the tree lacks, or a truncated file, is refused here, before a thousand jobs. Files that have not
changed keep their entry. Where files may be set aside, `branches` looks at all packs first: a
branch that no file has is misspelt. `apart` refuses copies of files that train in another dataset.
"""


rule index:
    input:
        root=reads("index", files_of),
    output:
        index=update(PATHS.index("{dataset}", "{pack}")),
    log:
        PATHS.log("index", "{dataset}", "{pack}"),
    benchmark:
        PATHS.benchmark("index", "{dataset}", "{pack}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("index", 1000),
        runtime=minutes_of_pack("index"),
        disk_mb=100,
    params:
        job=job_of("index"),
        listing=listing_of,
    script:
        "../scripts/index.py"


rule branches:
    input:
        indexes=reads("branches", lambda wildcards: PLAN.indexes(wildcards.dataset)),
    output:
        branches=PATHS.branches("{dataset}"),
    log:
        PATHS.log("branches", "{dataset}"),
    benchmark:
        PATHS.benchmark("branches", "{dataset}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("branches", 1000),
        runtime=minutes("branches", 30),
        disk_mb=100,
    params:
        job=job_of("branches"),
    script:
        "../scripts/branches.py"


rule apart:
    input:
        indexes=reads("apart", lambda wildcards: PLAN.indexes(wildcards.dataset)),
        nominal=reads(
            "apart", lambda wildcards: PLAN.indexes(PLAN.datasets.nominal.name)
        ),
    output:
        apart=PATHS.apart("{experiment}", "{dataset}"),
    log:
        PATHS.log("apart", "{experiment}", "{dataset}"),
    benchmark:
        PATHS.benchmark("apart", "{experiment}", "{dataset}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("apart", 1000),
        runtime=minutes("apart", 30),
        disk_mb=100,
    params:
        job=job_of("apart"),
    script:
        "../scripts/apart.py"
