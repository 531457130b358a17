# Figures, from the long table (and, for the sample grids and the plane, from the stored samples).

FIGURE_FILES = [f"{FIGURE_FOLDER}/{name}{suffix}" for name in FIGURES for suffix in (".png", ".pdf")]

for _name, _target in FIGURES.items():

    rule:
        name:
            f"figure_{_name}"
        input:
            rules.collect.output,
            expand(PREPARED, task=TASKS),
        output:
            picture=reported(FIGURE_FOLDER, _name, ".png", "Figures"),
            vector=f"{FIGURE_FOLDER}/{_name}.pdf",
            caption=f"{FIGURE_FOLDER}/{_name}.rst",
        log:
            f"{LOGS}/figures/{_name}.log",
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=1500,
            runtime=10,
        params:
            name=_name,
            key=made_by(_target),
            command=command,
            arguments=arguments,
        shell:
            "{params.command} plot {params.arguments} {params.name} 2> {log:q}"
