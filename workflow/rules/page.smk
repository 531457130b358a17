# The page that is read: what came out, every figure, table and claim, and the configuration, in one file.


rule page:
    input:
        rules.collect.output,
        TABLE_FILES,
        CLAIM_FILES,
        FIGURE_FILES,
    output:
        f"{RESULTS}/index.html",
    log:
        f"{LOGS}/page.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        key=[*made_by(GRID, "papa.paper.page:write"), GRID.config.model_dump(mode="json")],
        command=command,
        arguments=arguments,
    shell:
        "{params.command} page {params.arguments} 2> {log:q}"
