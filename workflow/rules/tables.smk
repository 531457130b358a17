# Tables and the verdicts on the papers' claims, from the values of the runs that they show.

TABLE_FILES = [f"{RESULTS}/tables/{name}{suffix}" for name in TABLES for suffix in (".md", ".csv")]
CLAIM_FILES = [f"{RESULTS}/claims.md", f"{RESULTS}/claims.json"]

for _name, _target in TABLES.items():

    rule:
        name:
            f"table_{_name}"
        input:
            made_from_runs(shown(_name, GRID)),
            study_of(_name),
        output:
            readable=reported(f"{RESULTS}/tables", _name, ".md", "Tables"),
            numbers=reported(f"{RESULTS}/tables", _name, ".csv", "Tables"),
            caption=f"{RESULTS}/tables/{_name}.rst",
        log:
            f"{LOGS}/tables/{_name}.log",
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=1000,
            runtime=10,
        params:
            name=_name,
            key=made_by(shown(_name, GRID), _target),
            study=study_key(_name),
            command=command,
            arguments=arguments,
        shell:
            "{params.command} table {params.arguments} {params.name} 2> {log:q}"


rule claims:
    input:
        made_from_runs(shown(CLAIMS, GRID)),
        study_of(CLAIMS),
    output:
        readable=reported(RESULTS, "claims", ".md", "Claims"),
        numbers=f"{RESULTS}/claims.json",
        caption=f"{RESULTS}/claims.rst",
    log:
        f"{LOGS}/claims.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        key=made_by(shown(CLAIMS, GRID), "papa.paper.tables.ledger:write"),
        study=study_key(CLAIMS),
        command=command,
        arguments=arguments,
    shell:
        "{params.command} claims {params.arguments} 2> {log:q}"
