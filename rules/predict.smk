"""Score every row with a trained model, and hand the scores back to ROOT.

`predict` writes one HDF5 file a member; `friends` writes one friend tree an input file, in the
input's entry order, with a branch a method; `friend` makes one that got lost.
"""


rule predict:
    input:
        model=reads("predict", model_of),
        manifests=shards_for("predict"),
        statistics=statistics_for("predict"),
        apart=apart_for("predict"),
    output:
        **{
            split: PATHS.predictions(
                "{experiment}", "{dataset}", "{method}", "{member}", split
            )
            for split in GROUPS
        },
    log:
        PATHS.log("predict", "{experiment}", "{dataset}", "{method}", "{member}"),
    benchmark:
        PATHS.benchmark("predict", "{experiment}", "{dataset}", "{method}", "{member}")
    wildcard_constraints:
        method=any_of(REQUEST.experiment.methods),
    conda:
        "../envs/rootloom.yaml"
    threads: REQUEST.experiment.threads
    resources:
        mem_mb=memory("predict", 2000),
        runtime=minutes("predict", 60),
        disk_mb=500,
    params:
        job=job_of("predict"),
        files=number_of_files,
    script:
        "../scripts/predict.py"


rule friends:
    input:
        predictions=reads("friends", all_predictions),
        index=reads(
            "friends",
            lambda wildcards: PATHS.index(wildcards.dataset, wildcards.pack),
        ),
    output:
        manifest=PATHS.friends(REQUEST.name, "{dataset}", "{pack}"),
    log:
        PATHS.log("friends", REQUEST.name, "{dataset}", "{pack}"),
    benchmark:
        PATHS.benchmark("friends", REQUEST.name, "{dataset}", "{pack}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("friends", 2000),
        runtime=minutes_of_pack("friends"),
        disk_mb=1000,
    params:
        job=job_of("friends"),
        listing=listing_of,
        friends=lambda wildcards: files(wildcards).friend("{file}"),
        changed=lambda wildcards: PATHS.changed(wildcards.dataset, "{file}"),
    script:
        "../scripts/friends.py"


rule friend:
    input:
        predictions=reads("friend", all_predictions),
        index=reads("friend", index_of_file),
    output:
        friend=PATHS.friend(REQUEST.name, "{dataset}", "{place}{file}"),
    log:
        PATHS.log("friend", REQUEST.name, "{dataset}", "{place}{file}"),
    benchmark:
        PATHS.benchmark("friend", REQUEST.name, "{dataset}", "{place}{file}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("friend", 2000),
        runtime=minutes("friend", 60),
        disk_mb=1000,
    params:
        job=job_of("friend"),
        changed=lambda wildcards: PATHS.changed(wildcards.dataset, "{file}"),
    script:
        "../scripts/friend.py"
