"""rootloom: from ROOT files to trained, evaluated deep-learning models.

config/ says what to compute, profiles/ where it runs. Stages, in order: simulate, index,
preprocess, statistics, train (or baseline), predict (or generate), evaluate,
report; export and bundle of what was trained.
"""

from snakemake.utils import min_version

min_version("9.19")


include: "workflow/library.smk"


configfile: "config/config.yaml"


include: "workflow/common.smk"
include: "workflow/head.smk"
include: "rules/simulate.smk"
include: "rules/index.smk"
include: "rules/preprocess.smk"
include: "rules/statistics.smk"
include: "rules/train.smk"
include: "rules/baseline.smk"
include: "rules/predict.smk"
include: "rules/export.smk"
include: "rules/bundle.smk"
include: "rules/generate.smk"
include: "rules/floor.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        lambda wildcards: PLAN.targets(),
        lambda wildcards: PLAN.all_lost(),
