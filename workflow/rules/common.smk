# What all rules share: the grid, the folders, and how a rule calls `papa`.
# The settings are read and checked by `papa.benchmark.grid`; nothing here imports torch, and nothing is written.

import json
import shlex
import sys
from pathlib import Path

from papa.benchmark import estimate
from papa.benchmark import grid as papa_grid
from papa.benchmark.config import own, read
from papa.benchmark.runs import personal
from papa.benchmark.runs.key import source_hash
from papa.benchmark.runs.record import stands
from papa.benchmark.runs.scores import is_made, score_key
from papa.errors import PapaError
from papa.paper.figures import FIGURES
from papa.paper.long_table import made_from, table_key, table_path
from papa.paper.shown import CLAIMS, OF_STUDY, shown, together
from papa.paper.tables import TABLES

# One configuration file makes the experiment. Values of `--config key=value` win over it.
CONFIG_FILE = str(workflow.overwrite_configfiles[-1]) if workflow.overwrite_configfiles else "config.yaml"
try:
    _OWN, _WHOLE = own(CONFIG_FILE), read(CONFIG_FILE)  # Snakemake does not know of `extends`: its values are the own
    OVERRIDES = {
        key: value
        for key, value in config.items()
        if key not in ("extends", "grid_also") and value not in (_OWN.get(key), _WHOLE.get(key))
    }
    GRID = papa_grid.load(CONFIG_FILE, OVERRIDES)
except PapaError as error:
    raise WorkflowError(f"{CONFIG_FILE}: {error}")

RESULTS, FIGURE_FOLDER = GRID.config.results, GRID.config.figures
STAMPS = f"{RESULTS}/stamps"
LOGS = f"{RESULTS}/logs"
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


def cores(wildcards, output):
    """On how many cores the rest will run, for the time that is left; see `command`."""
    return int(workflow.resource_settings.cores or 1)


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


def parts(values, size):
    """A list in parts of `size`: what one process makes after another."""
    return [values[i : i + size] for i in range(0, len(values), size)]


# task -> its seeds in chunks. A new seed at the end leaves the earlier chunks as they are.
_SEEDS = {}
for _spec in GRID:
    _SEEDS.setdefault(_spec.task, set()).add(_spec.seed)
TASKS = sorted(_SEEDS)
CHUNKS = {task: parts(sorted(seeds), GRID.config.seeds_per_job) for task, seeds in _SEEDS.items()}

# Stamp of an alignment job -> its runs. The users of a job are shown in the same tables and figures, so that a table
# never waits for a run that it does not show. (No label holds a `~`, so no two jobs have one name.)
JOBS = {}
for (_task, _method), _groups in together(GRID).items():
    for _users in [part for group in _groups for part in parts(group, GRID.config.users_per_job)]:
        _name = _users[0] if len(_users) == 1 else f"{_users[0]}~{len(_users)}"
        for _index, _seeds in enumerate(CHUNKS[_task]):
            if _specs := [spec for spec in GRID.select(_task, _method, _users) if spec.seed in _seeds]:
                JOBS[f"{STAMPS}/align/{_task}/{_method}/{_name}/chunk{_index}.txt"] = _specs
MADE_BY = {spec.folder: stamp for stamp, specs in JOBS.items() for spec in specs}


def align_stamp(wildcards):
    """The stamp of an alignment job."""
    return f"{STAMPS}/align/{wildcards.task}/{wildcards.method}/{wildcards.users}/chunk{wildcards.chunk}.txt"


def specs_of(wildcards):
    """The runs of one alignment job."""
    return JOBS[align_stamp(wildcards)]


def users_of(wildcards):
    """The users of one alignment job, as arguments of a command."""
    return list(dict.fromkeys(spec.user for spec in specs_of(wildcards)))


def seeds_of(wildcards):
    """The seeds of one alignment job."""
    return sorted({spec.seed for spec in specs_of(wildcards)})


def task_key(wildcards):
    """What the check of a task's artefacts depends on."""
    task = GRID.tasks[wildcards.task]
    return [source_hash(task.declaration.module), task.weights, task.described]


def base_stamp(task, chunk):
    """The stamp of the base samples of a chunk of seeds."""
    return f"{STAMPS}/base/{task}/chunk{chunk}.txt"


def base_seeds(wildcards):
    """The seeds of one job of base samples."""
    return CHUNKS[wildcards.task][int(wildcards.chunk)]


def base_specs(wildcards):
    """The base samples of one job."""
    return [GRID.base(wildcards.task, seed) for seed in base_seeds(wildcards)]


def base_keys(wildcards):
    """The completion keys of the base samples of one job."""
    return [spec.key for spec in base_specs(wildcards)]


def keys_of(wildcards):
    """The completion keys of one alignment job and of its values: where one changes, that is made again."""
    return [[spec.key, score_key(spec)] for spec in specs_of(wildcards)]


def align_generation(wildcards):
    """Whether the runs of one alignment job and their values stand; see `generation`."""
    return generation(
        stamped(align_stamp(wildcards)),
        lambda: all(map(made, specs_of(wildcards))),
    )


_MADE = {}


def made(spec):
    """Whether a run and its values stand; looked at once."""
    if spec.folder not in _MADE:
        _MADE[spec.folder] = is_made(spec)
    return _MADE[spec.folder]


def base_generation(wildcards):
    """Whether the base samples of one job stand; see `generation`."""
    return generation(
        stamped(base_stamp(wildcards.task, wildcards.chunk)),
        lambda: all(stands(spec.folder, spec.key) for spec in base_specs(wildcards)),
    )


def table_generation(wildcards):
    """Whether the long table is that of this grid and its runs stand; see `generation`. One that cannot be read counts
    as another's. (A stamp that is missing plans nothing by itself: Snakemake sees that the table behind it is there.)
    """
    about = made_from(GRID)
    if about is None:
        return -1 if table_path(GRID).exists() else 0
    return generation(about.generation, lambda: about.key == table_key(GRID) and all(map(made, GRID)))


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


def made_from_runs(specs):
    """The stamps of the jobs that make these runs."""
    return sorted({MADE_BY[spec.folder] for spec in specs})


def study_of(name):
    """The study of personal models, where a table or figure shows it and the configuration asks for it."""
    return [str(personal.path_of(GRID))] if name in OF_STUDY and GRID.config.personal else []


def base_of_study():
    """The stamp of the base samples that the study draws from, where the grid makes them."""
    asked = GRID.config.personal
    chunks = enumerate(CHUNKS.get(asked.task, [])) if asked else []
    return [base_stamp(asked.task, index) for index, seeds in chunks if asked.seed in seeds]


def study_key(name):
    """The key of that study, for what is made from it."""
    return personal.key_of(GRID) if study_of(name) else None


def made_by(specs, target):
    """What a table or figure ("module:function") is made from: the runs that it shows, its own sources (editing one
    makes that one again, and nothing else) and the level of its intervals.

    A failed job leaves no output, and Snakemake considers older tables up to date where only a file between them and
    the change is missing; so they carry the keys of their runs themselves.
    """
    return [table_key(specs), source_hash("papa.paper.long_table", target.split(":")[0]), GRID.config.confidence]


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


# ---------------------------------------------------------------- how long it will take


def announce():
    """Say how long the missing runs will take, from recorded durations and a calibration of this machine."""
    missing = [spec for spec in GRID if not made(spec)]
    if missing:
        processes = len({MADE_BY[spec.folder] for spec in missing}) + 2 * len(TASKS)
        drawings = len(TABLES) + len(FIGURES) + 3  # the claims, the long table and the page
        cores, there = int(workflow.resource_settings.cores or 1), [spec for spec in GRID if made(spec)]
        asked = GRID.config.personal
        more = 0.0 if asked is None or personal.stands(GRID) else estimate.of_study(asked, GRID.task(asked.task))
        took = estimate.sentence(missing, processes, drawings, cores, there, more)
        print(f"{len(missing)} of {len(GRID)} runs of {CONFIG_FILE} are missing; all: {took}.", file=sys.stderr)


if workflow.is_main_process:
    announce()


onstart:
    print(
        "If this run is killed, run the same command again: finished runs stay and a started one goes on. Where "
        "Snakemake then says that the directory is locked, make sure that no other run is going on, and run "
        "`snakemake --unlock` first.",
        file=sys.stderr,
    )
