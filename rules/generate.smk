"""Generate examples with a trained generator: one for each row of the test split, with its condition.

One ROOT file for each member.
"""


rule generate:
    input:
        model=reads("generate", model_of),
        manifests=shards_for("generate"),
        apart=apart_for("generate"),
    output:
        examples=PATHS.generated("{experiment}", "{dataset}", "{method}", "{member}"),
    log:
        PATHS.log("generate", "{experiment}", "{dataset}", "{method}", "{member}"),
    benchmark:
        PATHS.benchmark("generate", "{experiment}", "{dataset}", "{method}", "{member}")
    wildcard_constraints:
        method=any_of(REQUEST.experiment.methods),
    conda:
        "../envs/rootloom.yaml"
    threads: REQUEST.experiment.threads
    resources:
        mem_mb=memory("generate", 2000),
        runtime=minutes("generate", 60),
        disk_mb=1000,
    params:
        job=job_of("generate"),
        files=number_of_files,
    script:
        "../scripts/generate.py"
