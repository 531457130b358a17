# What all rules share: the grid, the folders, and how a rule calls `papa`.
# The settings are read and checked by `papa.benchmark.grid`; nothing here imports torch.

import json
import shlex
from pathlib import Path

from papa.benchmark import grid as papa_grid
from papa.errors import PapaError
from papa.paper.figures import FIGURES
from papa.benchmark.runs.key import completion_key, source_hash
from papa.benchmark.registry import METRICS, TASKS as REGISTERED
from papa.paper.tables import TABLES

# One configuration file makes the experiment. Values of `--config key=value` win over it.
CONFIG_FILE = str(workflow.overwrite_configfiles[-1]) if workflow.overwrite_configfiles else "config.yaml"
try:
    _FROM_FILE = papa_grid.read(CONFIG_FILE)
    OVERRIDES = {key: value for key, value in config.items() if key != "extends" and _FROM_FILE.get(key) != value}
    GRID = papa_grid.load(CONFIG_FILE, OVERRIDES)
except PapaError as error:
    raise WorkflowError(f"{CONFIG_FILE}: {error}")

RESULTS, FIGURE_FOLDER = GRID.config.results, GRID.config.figures
STAMPS = f"{RESULTS}/stamps"
LOGS = f"{RESULTS}/logs"
ENVIRONMENT = "../../environment.yml"

# What every command carries, so that it can be copied out of the log and run by hand.
ARGUMENTS = shlex.join(["--config", CONFIG_FILE, *(["--override", json.dumps(OVERRIDES)] if OVERRIDES else [])])


def arguments(wildcards, output):
    """`ARGUMENTS` as a parameter that no rerun hangs on: results depend on settings, wherever those stand.

    Snakemake compares parameters between runs, except those that it takes to be made from the outputs.
    """
    return ARGUMENTS


def chunks(seeds):
    """Seeds of one process after another. A new seed at the end leaves the earlier chunks as they are."""
    size = GRID.config.seeds_per_job
    return [sorted(seeds)[i : i + size] for i in range(0, len(seeds), size)]


# (task, method, user) -> its chunks of seeds; (task) -> its seeds.
CHUNKS, SEEDS = {}, {}
for _spec in GRID:
    CHUNKS.setdefault((_spec.task, _spec.method, _spec.user), []).append(_spec.seed)
    SEEDS.setdefault(_spec.task, set()).add(_spec.seed)
CHUNKS = {axes: chunks(seeds) for axes, seeds in CHUNKS.items()}
TASKS = sorted(SEEDS)


def drop_untrue_stamps():
    """A record that was damaged and deleted by hand, as the error text says, is made again by the next run.

    A stamp says that its records are there. Scores hang on all of them, so those are looked through again.
    """
    for (task, method, user), parts in CHUNKS.items():
        for chunk, seeds in enumerate(parts):
            stamp = Path(STAMPS, "align", task, method, user, f"chunk{chunk}.txt")
            records = [*GRID.select(task, method, user, seeds), *(GRID.pool(task, seed) for seed in seeds)]
            if stamp.exists() and not all(record.folder.exists() for record in records):
                for untrue in (stamp, *Path(STAMPS, "score").glob("*.txt")):
                    untrue.unlink(missing_ok=True)
    for task, seeds in SEEDS.items():
        for seed in seeds:
            if not GRID.pool(task, seed).folder.exists():
                Path(STAMPS, "base", task, f"seed{seed}.txt").unlink(missing_ok=True)


drop_untrue_stamps()


def seeds_of(wildcards):
    """The seeds of one alignment job."""
    return CHUNKS[wildcards.task, wildcards.method, wildcards.user][int(wildcards.chunk)]


def keys_of(wildcards):
    """The completion keys of one alignment job: it is made again when one of them changes."""
    specs = GRID.select(wildcards.task, wildcards.method, wildcards.user, seeds_of(wildcards))
    return [spec.key for spec in specs]


def memory(wildcards):
    """Main memory of one job, in MB: what its task wants, or the largest task where it goes over all."""
    names = [wildcards.task] if "task" in wildcards.keys() else TASKS
    return max(REGISTERED[name].memory_mb for name in names)


def wants_gpu(wildcards):
    """1 where a job of a light step has to do with a task that is too large for a CPU."""
    names = [wildcards.task] if "task" in wildcards.keys() else TASKS
    return int(any(REGISTERED[name].needs for name in names))


def align_stamps():
    """The stamp of every alignment job."""
    return [
        f"{STAMPS}/align/{task}/{method}/{user}/chunk{chunk}.txt"
        for (task, method, user), parts in CHUNKS.items()
        for chunk in range(len(parts))
    ]


# What the scores, and the long table after them, are made from. All that follows an alignment carries it. A
# failed job leaves no output, and Snakemake takes older tables for up to date where only a file between them
# and the change is missing.
SCORE_KEY = completion_key(
    {"runs": sorted(spec.key for spec in GRID), "measures": {task: GRID.measures(task).model_dump() for task in TASKS}},
    ("papa.benchmark.runs.score", *(entry.module for entry in METRICS.values())),
    {},
)
TABLE_KEY = [SCORE_KEY, source_hash("papa.paper.long_table")]


def made_by(target):
    """What a table or figure ("module:function") is made from: the long table, its own sources (editing one
    makes that one again, and nothing else) and the level of its intervals."""
    return [*TABLE_KEY, source_hash(target.split(":")[0]), GRID.config.confidence]


def reported(folder, name, suffix, category):
    """An output that stands in the report, with the caption that `papa` writes beside it.

    The caption quotes the configuration and what was run, so it is made with the output.
    """
    return report(
        f"{folder}/{name}{suffix}",
        caption=str(Path(folder, f"{name}.rst").absolute()),
        category=category,
        labels={"name": name, "as": suffix.removeprefix(".")},
    )
