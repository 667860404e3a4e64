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
        files=PLAN.listing.files,
    script:
        "../scripts/survey.py"


rule report:
    input:
        evaluations=reads(
            "report",
            lambda wildcards: [
                PATHS.evaluation(PLAN.name, method) for method in PLAN.all_methods
            ],
        ),
        histories=reads("report", lambda wildcards: PLAN.histories()),
        statistics=reads(
            "report",
            lambda wildcards: [
                PATHS.statistics(PLAN.dataset_name, name)
                for name in PLAN.representations
            ],
        ),
        surveys=reads(
            "report",
            lambda wildcards: [
                PATHS.survey(PLAN.dataset_name, name) for name in PLAN.representations
            ],
        ),
        manifests=reads(
            "report", lambda wildcards: PLAN.all_manifests(), same_again=True
        ),
    output:
        report=PATHS.report(PLAN.name),
        quarantined=PATHS.report(PLAN.name, "quarantined.json"),
        figures=[PATHS.report(PLAN.name, name) for name in PLAN.figures()],
    log:
        PATHS.log("report", PLAN.name),
    benchmark:
        PATHS.benchmark("report", PLAN.name)
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
