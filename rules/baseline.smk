"""Fit a classifier that is not a network and score all rows of a dataset, in one job.

The fit uses the nominal dataset; for each other dataset it is repeated, because fits are not stored.

Predictions have the format of those of networks, so that all later steps are the same.
"""


rule baseline:
    input:
        training_manifests=shards_for("baseline", of_training),
        training_statistics=statistics_for("baseline", of_training),
        manifests=shards_for("baseline"),
        statistics=statistics_for("baseline"),
        apart=apart_for("baseline"),
    output:
        **{
            split: PATHS.predictions(
                "{experiment}", "{dataset}", "{method}", "0", split
            )
            for split in GROUPS
        },
    log:
        PATHS.log("baseline", "{experiment}", "{dataset}", "{method}"),
    benchmark:
        PATHS.benchmark("baseline", "{experiment}", "{dataset}", "{method}")
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
        files=number_of_files,
        training_files=lambda wildcards: PLAN.files(
            of_training(wildcards)
        ).listing.files,
    script:
        "../scripts/baseline.py"
