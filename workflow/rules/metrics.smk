# Measures: score every run (judges and references are loaded once a process), then the long table.

SCORE_PARTS = 2


rule score:
    input:
        align_stamps(),
    output:
        SCORED,
    log:
        f"{LOGS}/score/part{{part}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/score/part{{part}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=needs_gpu,
        mem_mb=memory,
        runtime=60,
    params:
        key=SCORE_KEY,
        generation=score_generation,
        parts=SCORE_PARTS,
        command=command,
        arguments=arguments,
    shell:
        "{params.command} score {params.arguments} --part {wildcards.part} --parts {params.parts}"
        " --threads {threads} --stamp {output:q} --generation {params.generation} 2> {log:q}"


rule collect:
    input:
        expand(SCORED, part=range(SCORE_PARTS)),
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
        key=TABLE_KEY,
        generation=table_generation,
        command=command,
        arguments=arguments,
    shell:
        "{params.command} collect {params.arguments} --generation {params.generation} 2> {log:q}"
