# Alignment: one job runs and measures the seeds of a chunk of one method for some users. The runs lie in a store that no
# rule declares as its output (Snakemake would delete finished seeds with a failed job); the job's stamp says that all
# of them are there.


rule align:
    input:
        lambda wildcards: base_stamp(wildcards.task, wildcards.chunk),
    output:
        f"{STAMPS}/align/{{task}}/{{method}}/{{users}}/chunk{{chunk}}.txt",
    log:
        f"{LOGS}/align/{{task}}/{{method}}/{{users}}/chunk{{chunk}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/align/{{task}}/{{method}}/{{users}}/chunk{{chunk}}.tsv"
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
        users=users_of,
        seeds=seeds_of,
        cores=cores,
        command=command,
        arguments=arguments,
    shell:
        "{params.command} align {params.arguments} --task {wildcards.task} --method {wildcards.method}"
        " --user {params.users} --seeds {params.seeds} --threads {threads} --cores {params.cores}"
        " --stamp {output:q} --generation {params.generation} 2> {log:q}"
