"""Score every row with a trained model, and hand the scores back to ROOT.

`predict` writes one HDF5 file a member; `friends` writes one friend tree an input file, in the
input's entry order, with a branch a method; `friend` makes one that got lost.
"""


rule predict:
    input:
        model=reads("predict", model_of),
        manifests=shards_for("predict"),
        statistics=reads("predict", statistics_of),
    output:
        **{
            split: PATHS.predictions("{experiment}", "{method}", "{member}", split)
            for split in GROUPS
        },
    log:
        PATHS.log("predict", "{experiment}", "{method}", "{member}"),
    benchmark:
        PATHS.benchmark("predict", "{experiment}", "{method}", "{member}")
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
        files=FILES.listing.files,
    script:
        "../scripts/predict.py"


rule friends:
    input:
        predictions=reads("friends", all_predictions),
        index=reads(
            "friends",
            lambda wildcards: PATHS.index(REQUEST.dataset_name, wildcards.pack),
        ),
    output:
        manifest=PATHS.friends(REQUEST.name, "{pack}"),
    log:
        PATHS.log("friends", REQUEST.name, "{pack}"),
    benchmark:
        PATHS.benchmark("friends", REQUEST.name, "{pack}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("friends", 2000),
        runtime=minutes("friends", FILES.minutes),
        disk_mb=1000,
    params:
        job=job_of("friends"),
        listing=str(FILES.list_path),
        friends=lambda wildcards: FILES.friend("{file}"),
        changed=lambda wildcards: PATHS.changed(REQUEST.dataset_name, "{file}"),
    script:
        "../scripts/friends.py"


rule friend:
    input:
        predictions=reads("friend", all_predictions),
        index=reads("friend", index_of_file),
    output:
        friend=FILES.friend("{file}"),
    log:
        PATHS.log(
            "friend", REQUEST.name, *(["{folder}"] if FILES.many else []), "{file}"
        ),
    benchmark:
        PATHS.benchmark(
            "friend", REQUEST.name, *(["{folder}"] if FILES.many else []), "{file}"
        )
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("friend", 2000),
        runtime=minutes("friend", 60),
        disk_mb=1000,
    params:
        job=job_of("friend"),
        changed=lambda wildcards: PATHS.changed(REQUEST.dataset_name, "{file}"),
    script:
        "../scripts/friend.py"
