"""Write the report page and its figures from metric, statistics and log files."""


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
