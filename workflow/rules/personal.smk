# The study of personal models: images for many simulated users, scored by those users.


rule personal:
    input:
        PLAN.base_of(STUDY.task, STUDY.seed) if STUDY else [],
    output:
        personal.path_of(GRID) if STUDY else f"{RESULTS}/personal.parquet",
    log:
        f"{LOGS}/personal.log",
    benchmark:
        f"{RESULTS}/benchmarks/personal.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=PLAN.memory(STUDY.task) if STUDY else 1000,
        runtime=120,
    params:
        key=personal.key_of(GRID) if STUDY else None,
        papa=papa("personal"),
    shell:
        "{params.papa} --threads {threads} 2> {log:q}"


# The users' choices among base samples, as a dataset: `snakemake results/fruits/pairs.parquet`. No other rule needs it.
rule pairs:
    input:
        PLAN.base_of(STUDY.task, STUDY.seed) if STUDY else [],
    output:
        personal.pairs_path(GRID) if STUDY else f"{RESULTS}/pairs.parquet",
    log:
        f"{LOGS}/pairs.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=3000,
        runtime=30,
    params:
        key=personal.key_of(GRID) if STUDY else None,
        papa=papa("personal --pairs"),
    shell:
        "{params.papa} --threads {threads} 2> {log:q}"
