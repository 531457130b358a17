# Alignment: one job runs and measures the seeds of a chunk of one method for some users. Runs are folders of a store
# that no rule declares as output (Snakemake would delete finished runs with a failed job); the job's stamp says that all
# of them are there. papa/benchmark/plan.py names the jobs and their stamps.


rule align:
    input:
        lambda wildcards: PLAN.base_stamps[wildcards.task, int(wildcards.chunk)],
    output:
        touch(f"{STAMPS}/align/{{task}}/{{method}}/{{users}}/chunk{{chunk}}.{{times}}.done"),
    log:
        f"{LOGS}/align/{{task}}/{{method}}/{{users}}/chunk{{chunk}}.{{times}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/align/{{task}}/{{method}}/{{users}}/chunk{{chunk}}.{{times}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
        mem_mb=lambda wildcards: PLAN.memory(wildcards.task),
        runtime=120,
    params:
        axes=lambda w, output: PLAN.axes(w.task, w.method, w.users, int(w.chunk)),
        papa=papa("align"),
    shell:
        "{params.papa} --task {wildcards.task} --method {wildcards.method} {params.axes}"
        " --threads {threads} 2> {log:q}"
