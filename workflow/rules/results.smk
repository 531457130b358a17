# Results: the long table, tables, figures, the verdicts on the papers' claims, and the page with all of them.

SHOWN_TABLES, SHOWN_FIGURES = made_by_default(GRID)
TABLE_FILES = [f"{RESULTS}/tables/{name}{suffix}" for name in SHOWN_TABLES for suffix in (".md", ".csv")]
FIGURE_FILES = [f"{FIGURE_FOLDER}/{name}{suffix}" for name in SHOWN_FIGURES for suffix in (".png", ".pdf")]
CLAIM_FILES = [f"{RESULTS}/claims.md", f"{RESULTS}/claims.json"]


rule collect:
    input:
        list(PLAN.runs),
    output:
        f"{RESULTS}/runs.parquet",
    log:
        f"{LOGS}/collect.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        key=made_from(GRID, "papa.paper.long_table:collect"),
        papa=papa("collect"),
    shell:
        "{params.papa} 2> {log:q}"


for _name, _target in TABLES.items():

    rule:
        name:
            f"table_{_name}"
        input:
            waits_for(_name),
        output:
            readable=reported(f"{RESULTS}/tables", _name, ".md", "Tables"),
            numbers=reported(f"{RESULTS}/tables", _name, ".csv", "Tables"),
            caption=f"{RESULTS}/tables/{_name}.rst",
        log:
            f"{LOGS}/tables/{_name}.log",
        conda:
            ENVIRONMENT
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            key=key_of(_name, _target),
            papa=papa(f"make {_name}"),
        shell:
            "{params.papa} 2> {log:q}"


for _name, _target in FIGURES.items():

    rule:
        name:
            f"figure_{_name}"
        input:
            waits_for(_name),
        output:
            image=reported(FIGURE_FOLDER, _name, ".png", "Figures"),
            vector=f"{FIGURE_FOLDER}/{_name}.pdf",
            caption=f"{FIGURE_FOLDER}/{_name}.rst",
        log:
            f"{LOGS}/figures/{_name}.log",
        conda:
            ENVIRONMENT
        resources:
            mem_mb=PLAN.memory(),  # some load a task
            runtime=10,
        params:
            key=key_of(_name, _target),
            papa=papa(f"make {_name}"),
        shell:
            "{params.papa} 2> {log:q}"


rule claims:
    input:
        waits_for(CLAIMS),
    output:
        readable=reported(RESULTS, "claims", ".md", "Claims"),
        numbers=f"{RESULTS}/claims.json",
        caption=f"{RESULTS}/claims.rst",
    log:
        f"{LOGS}/claims.log",
    conda:
        ENVIRONMENT
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        key=key_of(CLAIMS, TABLES["T7"]),
        papa=papa("make claims"),
    shell:
        "{params.papa} 2> {log:q}"


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
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        key=[made_from(GRID, "papa.paper.page:write"), GRID.config.model_dump(mode="json")],
        papa=papa("make page"),
    shell:
        "{params.papa} 2> {log:q}"


# `snakemake tune --cores all --configfile config/tuning.yaml`: choose the settings of each candidate of a search.
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
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        key=made_from(GRID, "papa.paper.tuning:write"),
        papa=papa("make tuning"),
    shell:
        "{params.papa} 2> {log:q}"


# `snakemake check --cores all`: do these runs reproduce the reference results of this configuration?
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
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        key=made_from(GRID, "papa.paper.reference:check"),
        papa=papa("reference check"),
    shell:
        "{params.papa} 2> {log:q}"
