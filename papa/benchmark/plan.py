"""The jobs of the workflow: which process makes which runs, and which jobs a table waits for. Imports no torch.

A job makes many runs, since the start of a process takes several seconds: the seeds of a chunk, for some users of one
method. Its runs are a store of folders, which stay when the job fails; what Snakemake sees is the job's stamp, an empty
file. A stamp is numbered. While the runs of a job are finished, the plan names the last stamp that exists; where a run
was deleted, damaged, or made with other settings or sources, the plan names the next one. That one does not exist, so
Snakemake runs the job again. Planning only reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from papa.benchmark.grid import Grid
from papa.benchmark.runs.record import is_finished
from papa.benchmark.specs import BaseSpec, RunSpec

Groups = Mapping[tuple[str, str], Sequence[Sequence[str]]]
"""(task, method) -> its users, in groups that may share a process."""


def parts(values: Sequence, size: int) -> list[Sequence]:
    """A sequence in parts of `size`."""
    return [values[i : i + size] for i in range(0, len(values), size)]


class Plan:
    """The jobs of a grid.

    Args:
        grid: the runs.
        groups: users of the same tables and figures, so that no table waits for a run that it does not show.

    Attributes:
        chunks: task -> its seeds in chunks. A new seed at the end leaves the earlier chunks as they are.
        runs: stamp of an alignment job -> its runs.
        base_stamps: (task, chunk) -> the stamp of the job of its base samples.
    """

    def __init__(self, grid: Grid, groups: Groups) -> None:
        self.grid, config = grid, grid.config
        self._stamps, self._finished = f"{config.results}/stamps", {}
        seeds: dict[str, set[int]] = {}
        for spec in grid:
            seeds.setdefault(spec.task, set()).add(spec.seed)
        self.chunks = {task: parts(sorted(found), config.seeds_per_job) for task, found in sorted(seeds.items())}
        self.runs: dict[str, list[RunSpec]] = {}
        self._jobs: dict[tuple[str, str, str, int], list[RunSpec]] = {}
        for (task, method), users in groups.items():
            for some in [part for group in users for part in parts(group, config.users_per_job)]:
                for chunk, seeds_of_job in enumerate(self.chunks[task]):
                    specs = [s for s in grid.select(task, method, list(some)) if s.seed in seeds_of_job]
                    if specs:
                        name = some[0] if len(some) == 1 else f"{some[0]}~{len(some)}"  # no label has a ~
                        self.runs[self._stamp(f"align/{task}/{method}/{name}/chunk{chunk}", specs)] = specs
                        self._jobs[task, method, name, chunk] = specs
        self.base_stamps = {
            (task, chunk): self._stamp(f"base/{task}/chunk{chunk}", self._base_specs(task, chunk))
            for task, chunks in self.chunks.items()
            for chunk in range(len(chunks))
        }
        self._made_by = {spec.folder: stamp for stamp, specs in self.runs.items() for spec in specs}

    def _base_specs(self, task: str, chunk: int) -> list[BaseSpec]:
        return [self.grid.base(task, seed) for seed in self.chunks[task][chunk]]

    def _stamp(self, name: str, specs: Sequence[RunSpec | BaseSpec]) -> str:
        """The last stamp of a job if its results are finished, else the next one."""
        place = Path(self._stamps, name)
        numbers = [int(file.suffixes[-2][1:]) for file in place.parent.glob(f"{place.name}.*.done")]
        last = max(numbers, default=0)
        number = last if all(map(self.is_finished, specs)) or not numbers else last + 1
        return f"{self._stamps}/{name}.{number}.done"

    def is_finished(self, spec: RunSpec | BaseSpec) -> bool:
        """Whether a result is there; looked up once."""
        if spec.folder not in self._finished:
            self._finished[spec.folder] = is_finished(spec)
        return self._finished[spec.folder]

    @cached_property
    def missing(self) -> list[RunSpec]:
        """The runs that are not there."""
        return [spec for spec in self.grid if not self.is_finished(spec)]

    def base_of(self, task: str, seed: int) -> list[str]:
        """The stamp of the base samples of one seed, if the grid makes them."""
        chunks = enumerate(self.chunks.get(task, []))
        return [self.base_stamps[task, chunk] for chunk, seeds in chunks if seed in seeds]

    def stamps_of(self, specs: Iterable[RunSpec]) -> list[str]:
        """The stamps of the jobs that make these runs."""
        return sorted({self._made_by[spec.folder] for spec in specs})

    def axes(self, task: str, method: str, users: str, chunk: int) -> str:
        """The users and seeds of an alignment job, as arguments of `papa align`; whatever the number of its stamp."""
        specs = self._jobs[task, method, users, chunk]
        labels, seeds = dict.fromkeys(spec.user for spec in specs), sorted({spec.seed for spec in specs})
        return f"--user {' '.join(labels)} --seeds {' '.join(map(str, seeds))}"

    def memory(self, task: str | None = None) -> int:
        """Main memory of a job on a task, or of one that goes over all tasks, in MB."""
        labels = [task] if task else list(self.chunks)
        return max(self.grid.task(label).declaration.memory_mb for label in labels)
