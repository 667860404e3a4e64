"""Score every row with a trained model, and hand the scores back to ROOT.

`predict` writes one HDF5 file a member; `friends` writes one friend tree an input file, in the
input's entry order, with a branch a method.
"""


rule predict:
    input:
        model=PATHS.model("{experiment}", "{method}", "{member}"),
        shards=shards_for(
            "predict",
            PATHS.predictions("{experiment}", "{method}", "{member}", "test"),
        ),
        statistics=lambda wildcards: statistics_of(wildcards.method),
    output:
        **{
            split: PATHS.predictions("{experiment}", "{method}", "{member}", split)
            for split in SPLITS
        },
    log:
        PATHS.log("predict", "{experiment}", "{method}", "{member}"),
    benchmark:
        PATHS.benchmark("predict", "{experiment}", "{method}", "{member}")
    wildcard_constraints:
        method=any_of(PLAN.experiment.methods),
    conda:
        "../envs/rootloom.yaml"
    threads: PLAN.experiment.threads
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(60),
        disk_mb=500,
    params:
        job=job_of("predict"),
    script:
        "../scripts/predict.py"


rule friends:
    input:
        predictions=[
            path
            for method in PLAN.all_methods
            for split in SPLITS
            for path in PLAN.predictions(method, split)
        ],
        indices=PLAN.indices(),
    output:
        friends=[PATHS.friend(PLAN.name, key) for key in PLAN.sources],
    log:
        PATHS.log("friends", PLAN.name),
    benchmark:
        PATHS.benchmark("friends", PLAN.name)
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=scaled(2000),
        runtime=scaled(60),
        disk_mb=1000,
    params:
        job=job_of("friends"),
    script:
        "../scripts/friends.py"
