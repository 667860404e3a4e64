"""Read the headers of a pack's ROOT files.

Entries, cluster boundaries, branches and types, checksum. A branch that the dataset file names and
the tree lacks, or a truncated file, is refused here, before a thousand jobs. Files that have not
changed keep their entry.
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
        runtime=minutes("index", FILES.minutes),
        disk_mb=100,
    params:
        job=job_of("index"),
        listing=str(FILES.list_path),
    script:
        "../scripts/index.py"
