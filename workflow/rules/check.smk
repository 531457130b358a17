# Whether these runs reproduce the reference results of this configuration: `snakemake check --cores all`.
# Nothing else asks for it.


rule check:
    input:
        table=rules.collect.output,
        reference=f"reference/{Path(CONFIG_FILE).stem}/cells.csv",
    output:
        readable=f"{RESULTS}/check.md",
        numbers=f"{RESULTS}/check.csv",
    log:
        f"{LOGS}/check.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        key=made_by(GRID, "papa.paper.reproduced:write"),
        command=command,
        arguments=arguments,
    shell:
        "{params.command} check {params.arguments} 2> {log:q}"
