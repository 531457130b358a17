# Tasks: check the artefacts, and draw the base samples that all methods and users share.


rule prepare:
    output:
        PREPARED,
    log:
        f"{LOGS}/prepare/{{task}}.log",
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        gpu=needs_gpu,
        mem_mb=memory,
        runtime=10,
    params:
        key=task_key,
        command=command,
        arguments=arguments,
    shell:
        "{params.command} prepare {params.arguments} --task {wildcards.task} --stamp {output:q} 2> {log:q}"


rule base_samples:
    input:
        rules.prepare.output,
    output:
        DRAWN,
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
        key=base_key,
        generation=base_generation,
        command=command,
        arguments=arguments,
    shell:
        "{params.command} base {params.arguments} --task {wildcards.task} --seeds {wildcards.seed}"
        " --threads {threads} --stamp {output:q} --generation {params.generation} 2> {log:q}"
