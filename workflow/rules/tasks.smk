# Tasks: check the artefacts, and sample the base model for all methods and users.


rule prepare:
    output:
        touch(f"{STAMPS}/prepare/{{task}}.done"),
    log:
        f"{LOGS}/prepare/{{task}}.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=lambda wildcards: int(bool(GRID.task(wildcards.task).declaration.needs)),
        mem_mb=lambda wildcards: PLAN.memory(wildcards.task),
        runtime=10,
    params:
        key=lambda wildcards: GRID.task(wildcards.task).key,
        papa=papa("prepare"),
    shell:
        "{params.papa} --task {wildcards.task} 2> {log:q}"


rule base_samples:
    input:
        rules.prepare.output,
    output:
        touch(f"{STAMPS}/base/{{task}}/chunk{{chunk}}.{{times}}.done"),
    log:
        f"{LOGS}/base/{{task}}/chunk{{chunk}}.{{times}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/base/{{task}}/chunk{{chunk}}.{{times}}.tsv"
    priority: 10  # all runs of these seeds wait for it
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=lambda wildcards: PLAN.memory(wildcards.task),
        runtime=60,
    params:
        seeds=lambda wildcards, output: PLAN.chunks[wildcards.task][int(wildcards.chunk)],
        papa=papa("base"),
    shell:
        "{params.papa} --task {wildcards.task} --seeds {params.seeds} --threads {threads} 2> {log:q}"
