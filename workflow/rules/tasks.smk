# Tasks: check the artefacts, and draw the base samples that all methods and users share.


rule prepare:
    output:
        f"{STAMPS}/prepare/{{task}}.txt",
    log:
        f"{LOGS}/prepare/{{task}}.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=wants_gpu,
        mem_mb=memory,
        runtime=10,
    params:
        key=lambda wildcards: source_hash(f"papa.benchmark.tasks.{wildcards.task}"),
        arguments=arguments,
    shell:
        "python -m papa prepare {params.arguments} --task {wildcards.task} --stamp {output} 2> {log}"


rule base_samples:
    input:
        rules.prepare.output,
    output:
        f"{STAMPS}/base/{{task}}/seed{{seed}}.txt",
    log:
        f"{LOGS}/base/{{task}}/seed{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/base/{{task}}/seed{{seed}}.tsv"
    priority: 10  # everything of this seed waits for it
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory,
        runtime=60,
    params:
        key=lambda wildcards: GRID.pool(wildcards.task, int(wildcards.seed)).key,
        arguments=arguments,
    shell:
        "python -m papa base {params.arguments} --task {wildcards.task} --seeds {wildcards.seed}"
        " --threads {threads} --stamp {output} 2> {log}"
