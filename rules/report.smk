"""Write the report page and its figures from metric, statistics, survey and log files.

What rows look like (distributions of inputs, mean images, examples) is a map and a reduce, as
statistics are: `axes` looks at some rows of a representation's shards, `spectra` sums a pack of
files on these axes, `survey` merges the packs.
"""


rule axes:
    input:
        manifests=shards_for("axes"),
    output:
        axes=PATHS.axes("{dataset}", "{representation}"),
    log:
        PATHS.log("axes", "{dataset}", "{representation}"),
    benchmark:
        PATHS.benchmark("axes", "{dataset}", "{representation}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("axes", 1500),
        runtime=minutes("axes", 30),
        disk_mb=100,
    params:
        job=job_of("axes"),
        files=number_of_files,
    script:
        "../scripts/axes.py"


rule spectra:
    input:
        manifests=reads("spectra", shards_of_pack, same_again=True),
        axes=reads(
            "spectra",
            lambda wildcards: PATHS.axes(wildcards.dataset, wildcards.representation),
            same_again=True,
        ),
    output:
        spectra=PATHS.spectra("{dataset}", "{representation}", "{pack}"),
    log:
        PATHS.log("spectra", "{dataset}", "{representation}", "{pack}"),
    benchmark:
        PATHS.benchmark("spectra", "{dataset}", "{representation}", "{pack}")
    conda:
        "../envs/rootloom.yaml"
    threads: 1
    resources:
        mem_mb=memory("spectra", 1500),
        runtime=minutes_of_pack("spectra"),
        disk_mb=100,
    params:
        job=job_of("spectra"),
    script:
        "../scripts/spectra.py"


rule survey:
    input:
        spectra=reads(
            "survey",
            lambda wildcards: [
                PATHS.spectra(wildcards.dataset, wildcards.representation, pack)
                for pack in files(wildcards).packs
            ],
            same_again=True,
        ),
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
        runtime=minutes("survey", 30),
        disk_mb=100,
    params:
        job=job_of("survey"),
    script:
        "../scripts/survey.py"


rule report:
    input:
        evaluations=reads(
            "report",
            lambda wildcards: PLAN.evaluations(),
        ),
        histories=reads("report", lambda wildcards: PLAN.histories()),
        models=reads("report", lambda wildcards: PLAN.all_models()),
        statistics=reads(
            "report",
            lambda wildcards: PLAN.all_statistics(),
        ),
        surveys=reads(
            "report",
            lambda wildcards: PLAN.surveys(),
        ),
        manifests=reads(
            "report", lambda wildcards: PLAN.all_manifests(), same_again=True
        ),
        exported=reads("report", lambda wildcards: PLAN.all_exported()),
    output:
        report=PATHS.report(REQUEST.name),
        quarantined=PATHS.report(REQUEST.name, "quarantined.json"),
        plots=PLAN.plots(),
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
