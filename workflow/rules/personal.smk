# The study of personal models: pictures for many simulated persons, and how they like them.


rule personal:
    input:
        base_of_study(),
    output:
        personal.path_of(GRID) if GRID.config.personal else f"{RESULTS}/personal.parquet",
    log:
        f"{LOGS}/personal.log",
    benchmark:
        f"{RESULTS}/benchmarks/personal.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=GRID.task(GRID.config.personal.task).declaration.memory_mb if GRID.config.personal else 1000,
        runtime=120,
    params:
        key=personal.key_of(GRID) if GRID.config.personal else None,
        command=command,
        arguments=arguments,
    shell:
        "{params.command} personal {params.arguments} --threads {threads} 2> {log:q}"


# What the persons chose among base samples, as a dataset: `snakemake results/fruits/pairs.parquet`. Nothing asks for it.
rule pairs:
    input:
        base_of_study(),
    output:
        personal.pairs_path(GRID) if GRID.config.personal else f"{RESULTS}/pairs.parquet",
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
        key=personal.key_of(GRID) if GRID.config.personal else None,
        command=command,
        arguments=arguments,
    shell:
        "{params.command} personal --pairs {params.arguments} --threads {threads} 2> {log:q}"
