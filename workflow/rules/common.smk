# Shared by all rules: the runs of the configuration, their jobs, and the command of a rule.
# Nothing here imports torch, and nothing is written.

import json
import os
import shlex
import sys
from pathlib import Path

from papa.benchmark import doctor, grid
from papa.benchmark.plan import Plan
from papa.benchmark.runs import personal
from papa.errors import PapaError
from papa.paper.figures import FIGURES
from papa.paper.keys import made_from
from papa.paper.shown import CLAIMS, OF_STUDY, made_by_default, shown, together
from papa.paper.tables import TABLES

# One file makes the experiment (papa knows `extends`, Snakemake does not); `--config key=value` replaces its settings.
CONFIG_FILE = os.path.relpath((workflow.overwrite_configfiles or ["config.yaml"])[-1])
OVERRIDES = dict(workflow.config_settings.config)
try:
    GRID = grid.load(CONFIG_FILE, OVERRIDES)
    PLAN = Plan(GRID, together(GRID))
except PapaError as error:
    raise WorkflowError(f"{CONFIG_FILE}: {error}")

RESULTS, FIGURE_FOLDER = GRID.config.results, GRID.config.figures
STAMPS, LOGS = f"{RESULTS}/stamps", f"{RESULTS}/logs"
ENVIRONMENT = "../../environment.yml"
STUDY = GRID.config.personal


wildcard_constraints:
    chunk=r"\d+",
    times=r"\d+",


def papa(name):
    """The command of a rule, as it can be copied and run by hand.

    Snakemake reruns a job if a parameter changed, except parameters whose function takes `output`: results depend on
    settings, not on the place of their file.
    """
    python = "python" if workflow.deployment_settings.deployment_method else shlex.quote(sys.executable)
    given = ["--override", json.dumps(OVERRIDES)] if OVERRIDES else []
    line = f"{python} -m papa {name} {shlex.join(['--config', CONFIG_FILE, *given])}"
    return lambda wildcards, output: line


def waits_for(name):
    """The stamps of the runs that a table or figure shows, and the study of personal models if it shows that."""
    study = [str(personal.path_of(GRID))] if STUDY and name in OF_STUDY else []
    return PLAN.stamps_of(shown(name, GRID)) + study


def key_of(name, target):
    """What a table or figure depends on, besides its inputs: the keys of its runs, its sources and its settings."""
    study = personal.key_of(GRID) if STUDY and name in OF_STUDY else None
    return [made_from(shown(name, GRID), target), GRID.config.confidence, study]


def reported(folder, name, suffix, category):
    """An output that appears in Snakemake's report, with the caption that `papa` writes beside it."""
    return report(
        f"{folder}/{name}{suffix}",
        caption=str(Path(folder, f"{name}.rst").absolute()),
        category=category,
        labels={"name": name, "as": suffix.removeprefix(".")},
    )


if workflow.is_main_process and PLAN.missing:
    print(f"{CONFIG_FILE}: {doctor.missing_runs(GRID, int(workflow.resource_settings.cores or 1))}.", file=sys.stderr)


onstart:
    print(
        "If this run is killed, run the same command again: finished runs stay, a started one continues. If Snakemake "
        "then says that the directory is locked, make sure that no other run is active and run `snakemake --unlock`.",
        file=sys.stderr,
    )
