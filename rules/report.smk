"""Write the report page and its figures from metric, statistics and log files."""


rule report:
    input:
        evaluations=[PATHS.evaluation(PLAN.name, method) for method in PLAN.all_methods],
        histories=[
            PATHS.history(PLAN.name, method, member)
            for method in PLAN.experiment.methods
            for member in PLAN.members(method)
        ],
        statistics=[
            PATHS.statistics(PLAN.dataset_name, name) for name in PLAN.representations
        ],
        manifests=unless_current(
            "report",
            PATHS.report(PLAN.name, "quarantined.json"),
            lambda wildcards: PLAN.all_manifests(),
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
