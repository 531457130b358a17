# Measures: score every run (judges and references are loaded once a process), then the long table.

SCORE_PARTS = 2


rule score:
    input:
        align_stamps(),
    output:
        f"{STAMPS}/score/part{{part}}.txt",
    log:
        f"{LOGS}/score/part{{part}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/score/part{{part}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=wants_gpu,
        mem_mb=memory,
        runtime=60,
    params:
        key=SCORE_KEY,
        parts=SCORE_PARTS,
        arguments=arguments,
    shell:
        "python -m papa score {params.arguments} --part {wildcards.part} --parts {params.parts}"
        " --threads {threads} --stamp {output} 2> {log}"


rule collect:
    input:
        expand(rules.score.output, part=range(SCORE_PARTS)),
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
        arguments=arguments,
    shell:
        "python -m papa collect {params.arguments} 2> {log}"
