# What all rules share: the grid, the folders, and how a rule calls `papa`.
# The settings are read and checked by `papa.benchmark.grid`; nothing here imports torch, and nothing is written.

import json
import shlex
import sys
from pathlib import Path

from papa.benchmark import grid as papa_grid
from papa.benchmark import metrics
from papa.benchmark.config import read
from papa.benchmark.runs.key import completion_key, source_hash
from papa.benchmark.runs.record import stands
from papa.benchmark.runs.scores import is_scored
from papa.errors import PapaError
from papa.paper.figures import FIGURES
from papa.paper.long_table import made_from, table_key, table_path
from papa.paper.tables import TABLES

# One configuration file makes the experiment. Values of `--config key=value` win over it.
CONFIG_FILE = str(workflow.overwrite_configfiles[-1]) if workflow.overwrite_configfiles else "config.yaml"
try:
    _FROM_FILE = read(CONFIG_FILE)
    OVERRIDES = {
        key: value
        for key, value in config.items()
        if key not in ("extends", "grid_also") and _FROM_FILE.get(key) != value
    }
    GRID = papa_grid.load(CONFIG_FILE, OVERRIDES)
except PapaError as error:
    raise WorkflowError(f"{CONFIG_FILE}: {error}")

RESULTS, FIGURE_FOLDER = GRID.config.results, GRID.config.figures
STAMPS = f"{RESULTS}/stamps"
LOGS = f"{RESULTS}/logs"
# Stamps that other rules `expand`. It refuses `rules.NAME.output` where outputs go to a storage (profiles/kubernetes).
PREPARED = f"{STAMPS}/prepare/{{task}}.txt"
DRAWN = f"{STAMPS}/base/{{task}}/seed{{seed}}.txt"
SCORED = f"{STAMPS}/score/part{{part}}.txt"
ENVIRONMENT = "../../environment.yml"

# The Python that runs this, whether or not its environment is activated; with --sdm conda the environment's own.
PYTHON = "python" if workflow.deployment_settings.deployment_method else shlex.quote(sys.executable)
# What every command carries, so that it can be copied out of the log and run by hand.
ARGUMENTS = shlex.join(["--config", CONFIG_FILE, *(["--override", json.dumps(OVERRIDES)] if OVERRIDES else [])])


def command(wildcards, output):
    """How a rule calls `papa`, as a parameter that no rerun depends on; results depend on the settings, not on where
    their file lies. Snakemake compares parameters between runs, except those whose function takes `output`.
    """
    return f"{PYTHON} -m papa"


def arguments(wildcards, output):
    """The configuration that a command is given; see `command`."""
    return ARGUMENTS


# ---------------------------------------------------------------- what stands, and what is to be made again


def generation(made, holds):
    """A number that grows where what a stamp, or the long table, claims does not hold any more.

    Each says of which generation it is (`made`; None where there is none that says so). While what it claims holds,
    the number stays as it is; where a record was deleted, damaged, or made with other settings since, it is the next
    one, and Snakemake makes the job again because a parameter changed. Nothing is deleted for that: planning only looks.
    """
    return 0 if made is None else made if holds() else made + 1


def stamped(stamp):
    """The generation that a stamp says; None where there is no stamp."""
    try:
        return int(Path(stamp).read_text(encoding="utf-8").split()[1])
    except (OSError, ValueError, IndexError):
        return None


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


def seeds_of(wildcards):
    """The seeds of one alignment job."""
    return CHUNKS[wildcards.task, wildcards.method, wildcards.user][int(wildcards.chunk)]


def specs_of(wildcards):
    """The runs of one alignment job."""
    return GRID.select(wildcards.task, wildcards.method, wildcards.user, seeds_of(wildcards))


def task_key(wildcards):
    """What the check of a task's artefacts depends on."""
    task = GRID.tasks[wildcards.task]
    return [source_hash(task.declaration.module), task.weights, task.described]


def base_key(wildcards):
    """The completion key of the base samples of a seed."""
    return GRID.base(wildcards.task, int(wildcards.seed)).key


def keys_of(wildcards):
    """The completion keys of one alignment job: it is made again when one of them changes."""
    return [spec.key for spec in specs_of(wildcards)]


def align_stamp(wildcards):
    return f"{STAMPS}/align/{wildcards.task}/{wildcards.method}/{wildcards.user}/chunk{wildcards.chunk}.txt"


def align_generation(wildcards):
    """Whether the runs of one alignment job stand; see `generation`."""
    return generation(
        stamped(align_stamp(wildcards)), lambda: all(stands(spec.folder, spec.key) for spec in specs_of(wildcards))
    )


def base_generation(wildcards):
    """Whether the base samples of a seed stand; see `generation`."""
    spec = GRID.base(wildcards.task, int(wildcards.seed))
    stamp = f"{STAMPS}/base/{wildcards.task}/seed{wildcards.seed}.txt"
    return generation(stamped(stamp), lambda: stands(spec.folder, spec.key))


def score_generation(wildcards):
    """Whether the values of all runs stand; see `generation`."""
    stamp = f"{STAMPS}/score/part{wildcards.part}.txt"
    return generation(stamped(stamp), lambda: all(map(is_scored, GRID)))


def table_generation(wildcards):
    """Whether the long table is that of this grid; see `generation`. One that cannot be read counts as another's."""
    about = made_from(GRID)
    if about is None:
        return -1 if table_path(GRID).exists() else 0
    return generation(about.generation, lambda: about.key == table_key(GRID))


# ---------------------------------------------------------------- what jobs need of a machine


def memory(wildcards):
    """Main memory of one job, in MB: what its task needs, or the largest task where it goes over all."""
    labels = [wildcards.task] if "task" in wildcards.keys() else TASKS
    return max(GRID.tasks[label].declaration.memory_mb for label in labels)


def needs_gpu(wildcards):
    """1 where a job of a light step handles a task that is too large for a CPU."""
    labels = [wildcards.task] if "task" in wildcards.keys() else TASKS
    return int(any(GRID.tasks[label].declaration.needs for label in labels))


# ---------------------------------------------------------------- what tables and figures are made from


def align_stamps():
    """The stamp of every alignment job."""
    return [
        f"{STAMPS}/align/{task}/{method}/{user}/chunk{chunk}.txt"
        for (task, method, user), parts in CHUNKS.items()
        for chunk in range(len(parts))
    ]


# What the scores, and the long table after them, are made from. All that follows an alignment carries it. A
# failed job leaves no output, and Snakemake considers older tables up to date where only a file between them
# and the change is missing.
SCORE_KEY = completion_key(
    {"runs": sorted(spec.key for spec in GRID), "measures": {task: GRID.measures(task).model_dump() for task in TASKS}},
    ("papa.benchmark.runs.score", *metrics.modules()),
    {},
)
TABLE_KEY = [table_key(GRID), source_hash("papa.paper.long_table")]


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


onstart:
    print(
        "If this run is killed, run the same command again: finished runs stay and a started one goes on. Where "
        "Snakemake then says that the directory is locked, make sure that no other run is going on, and run "
        "`snakemake --unlock` first.",
        file=sys.stderr,
    )
