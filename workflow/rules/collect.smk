# The long table: every value of every run, for whoever wants to look further than the tables do.


rule collect:
    input:
        list(JOBS),
    output:
        f"{RESULTS}/runs.parquet",
    log:
        f"{LOGS}/collect.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        key=[table_key(GRID), source_hash("papa.paper.long_table")],
        generation=table_generation,
        command=command,
        arguments=arguments,
    shell:
        "{params.command} collect {params.arguments} --generation {params.generation} 2> {log:q}"
