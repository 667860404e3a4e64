"""Write trained networks in the formats of other frameworks.

`export` writes the files of all formats of a method beside its output, which says what they are and
how far onnxruntime is from JAX; a network that says something else is not exported.
"""


rule export:
    input:
        model=reads("export", model_of),
        manifests=shards_for("export"),
        statistics=statistics_for("export"),
    output:
        exported=PATHS.exported("{experiment}", "{method}", "{member}"),
    log:
        PATHS.log("export", "{experiment}", "{method}", "{member}"),
    benchmark:
        PATHS.benchmark("export", "{experiment}", "{method}", "{member}")
    wildcard_constraints:
        method=any_of(REQUEST.experiment.methods),
    conda:
        "../envs/rootloom.yaml"
    threads: REQUEST.experiment.threads
    resources:
        mem_mb=memory("export", 3000),
        runtime=minutes("export", 60),
        disk_mb=500,
    params:
        job=job_of("export"),
        files=number_of_files,
        folder=lambda wildcards: PATHS.formats(**wildcards),
    script:
        "../scripts/export.py"
