# `snakemake --cores all` makes every table, figure and verdict, and the page that shows them.


include: "workflow/rules/common.smk"
include: "workflow/rules/tasks.smk"
include: "workflow/rules/align.smk"
include: "workflow/rules/personal.smk"
include: "workflow/rules/results.smk"


rule all:
    default_target: True
    input:
        rules.collect.output,
        TABLE_FILES,
        CLAIM_FILES,
        FIGURE_FILES,
        rules.page.output,
