"""Train one member of one method.

The checkpoint directory is keyed by the fingerprint and is not an output: the engine deletes the
outputs of a failed job, and a checkpoint is what a restarted job needs.
"""


rule train:
    input:
        manifests=shards_for("train"),
        statistics=statistics_for("train"),
        weights=given_weights,
        apart=reads("train", lambda wildcards: PLAN.all_apart(), same_again=True),
    output:
        model=PATHS.model("{experiment}", "{method}", "{member}"),
        history=PATHS.history("{experiment}", "{method}", "{member}"),
    log:
        PATHS.log("train", "{experiment}", "{method}", "{member}"),
    benchmark:
        PATHS.benchmark("train", "{experiment}", "{method}", "{member}")
    retries: 2
    conda:
        "../envs/rootloom.yaml"
    threads: REQUEST.experiment.threads * REQUEST.experiment.nodes
    resources:
        **machines(REQUEST.experiment),
        mem_mb=memory("train", 4000),
        runtime=minutes("train", 240),
        disk_mb=500,
    params:
        job=job_of("train"),
        files=number_of_files,
        directory=lambda wildcards: PATHS.training(
            **wildcards, fingerprint=PLAN.job("train", **wildcards)["fingerprint"]
        ),
    script:
        "../scripts/train.py"
