# Figures, from the values of the runs that they show (and some from their stored samples).

FIGURE_FILES = [f"{FIGURE_FOLDER}/{name}{suffix}" for name in FIGURES for suffix in (".png", ".pdf")]

# They ask a task's users, or its density, about what they show.
LOADING = {"papa.paper.figures.samples", "papa.paper.figures.particles"}

for _name, _target in FIGURES.items():

    rule:
        name:
            f"figure_{_name}"
        input:
            made_from_runs(shown(_name, GRID)),
            study_of(_name),
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
            mem_mb=memory if _target.split(":")[0] in LOADING else 1500,
            runtime=10,
        params:
            name=_name,
            key=made_by(shown(_name, GRID), _target),
            study=study_key(_name),
            command=command,
            arguments=arguments,
        shell:
            "{params.command} plot {params.arguments} {params.name} 2> {log:q}"
