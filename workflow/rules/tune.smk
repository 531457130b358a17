# Fair tuning: `snakemake tune --cores all --configfile config/tuning.yaml` chooses the settings of each candidate.
# Nothing else asks for it.


rule tune:
    input:
        rules.collect.output,
    output:
        settings=f"{RESULTS}/tuned.yaml",
        numbers=f"{RESULTS}/tuning.csv",
        readable=f"{RESULTS}/tuning.md",
    log:
        f"{LOGS}/tune.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        key=made_by(GRID, "papa.paper.tuning:write"),
        command=command,
        arguments=arguments,
    shell:
        "{params.command} tune {params.arguments} 2> {log:q}"
