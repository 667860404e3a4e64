"""Read the headers of one ROOT file.

Entries, cluster boundaries, branches and types, checksum. A branch that the dataset file names and
the tree lacks, or a truncated file, is refused here, before a thousand jobs.
"""


rule index:
    input:
        root=lambda wildcards: PLAN.root_inputs(wildcards.file),
    output:
        index=PATHS.index("{dataset}", "{file}"),
    log:
        PATHS.log("index", "{dataset}", "{file}"),
    benchmark:
        PATHS.benchmark("index", "{dataset}", "{file}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=scaled(1000),
        runtime=scaled(10),
        disk_mb=100,
    params:
        job=job_of("index"),
    script:
        "../scripts/index.py"
