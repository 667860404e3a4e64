"""Write the report page and its figures from metric, statistics, survey and log files.

`survey` passes over a representation's shards once: distributions of inputs, mean images, examples.
"""


rule survey:
    input:
        manifests=shards_for("survey"),
    output:
        survey=PATHS.survey("{dataset}", "{representation}"),
    log:
        PATHS.log("survey", "{dataset}", "{representation}"),
    benchmark:
        PATHS.benchmark("survey", "{dataset}", "{representation}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("survey", 1500),
        runtime=minutes("survey", 60),
        disk_mb=100,
    params:
        job=job_of("survey"),
        files=FILES.listing.files,
    script:
        "../scripts/survey.py"


rule report:
    input:
        evaluations=reads(
            "report",
            lambda wildcards: [
                PATHS.evaluation(REQUEST.name, method)
                for method in REQUEST.all_methods
            ],
        ),
        histories=reads("report", lambda wildcards: PLAN.histories()),
        statistics=reads(
            "report",
            lambda wildcards: [
                PATHS.statistics(REQUEST.dataset_name, name)
                for name in REQUEST.representations
            ],
        ),
        surveys=reads(
            "report",
            lambda wildcards: [
                PATHS.survey(REQUEST.dataset_name, name)
                for name in REQUEST.representations
            ],
        ),
        manifests=reads(
            "report", lambda wildcards: FILES.all_manifests(), same_again=True
        ),
    output:
        report=PATHS.report(REQUEST.name),
        quarantined=PATHS.report(REQUEST.name, "quarantined.json"),
        figures=[PATHS.report(REQUEST.name, name) for name in REQUEST.figures()],
    log:
        PATHS.log("report", REQUEST.name),
    benchmark:
        PATHS.benchmark("report", REQUEST.name)
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("report", 1500),
        runtime=minutes("report", 15),
        disk_mb=100,
    params:
        job=job_of("report"),
    script:
        "../scripts/report.py"
