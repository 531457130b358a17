# Alignment: one job runs the seeds of a chunk, one method, one user. The runs lie in a store that no rule
# declares as its output (Snakemake would delete finished seeds with a failed job); the job's stamp says
# that all of them are there, and `collect` verifies each.


rule align:
    input:
        lambda wildcards: expand(DRAWN, task=wildcards.task, seed=seeds_of(wildcards)),
    output:
        f"{STAMPS}/align/{{task}}/{{method}}/{{user}}/chunk{{chunk}}.txt",
    log:
        f"{LOGS}/align/{{task}}/{{method}}/{{user}}/chunk{{chunk}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/align/{{task}}/{{method}}/{{user}}/chunk{{chunk}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=memory,
        runtime=120,
    params:
        key=keys_of,
        generation=align_generation,
        seeds=seeds_of,
        command=command,
        arguments=arguments,
    shell:
        "{params.command} align {params.arguments} --task {wildcards.task} --method {wildcards.method}"
        " --user {wildcards.user} --seeds {params.seeds} --threads {threads}"
        " --stamp {output:q} --generation {params.generation} 2> {log:q}"
