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
