"""What there is: one line for each task, method and metric.

Adding one is adding a file and its line here. Classes are named by string so that looking
through this list (`papa --help`, `snakemake -n`) imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from papa.benchmark import config
from papa.benchmark.config import Settings, unknown


@dataclass(frozen=True)
class UserEntry:
    """A hidden user: the class that plays it and what it likes."""

    target: str
    taste: dict[str, Any]

    @property
    def module(self) -> str:
        return self.target.split(":")[0]

    def load(self) -> Any:
        """The user object."""
        module, name = self.target.split(":")
        return getattr(import_module(module), name)(**self.taste)


@dataclass(frozen=True)
class Entry:
    """A named implementation ("module:Class") and the class of its settings.

    recipe: the module that trains a task's artefacts, if it has any of its own.
    needs: the module that says what a task needs beside this package, if it needs anything. Such a task is
    large: it is also scored on the configured device, and its jobs ask for the GPU at every step.
    memory_mb: main memory of one job of a task.
    """

    target: str
    settings: type[Settings] = config.MethodSettings
    recipe: str | None = None
    needs: str | None = None
    memory_mb: int = 3000

    @property
    def module(self) -> str:
        return self.target.split(":")[0]

    def load(self) -> Any:
        """Import the class."""
        module, name = self.target.split(":")
        return getattr(import_module(module), name)


METHODS: dict[str, Entry] = {
    "base": Entry("papa.methods.base.method:Base"),
    "best_of_n": Entry("papa.methods.best_of_n.method:BestOfN", config.BestOfNSettings),
    "papa": Entry("papa.methods.papa.method:Papa", config.PapaSettings),
    "epapa": Entry("papa.methods.papa.method:Papa", config.EpapaSettings),
    "fkc": Entry("papa.methods.fkc.method:Fkc", config.FkcSettings),
}

TASKS: dict[str, Entry] = {
    "gmm2d": Entry("papa.benchmark.tasks.gmm2d.task:Gmm2d", config.Gmm2dSettings),
    "digits": Entry(
        "papa.benchmark.tasks.digits.task:Digits", config.TaskSettings, recipe="papa.recipes.digits.recipe"
    ),
    "fruits": Entry(
        "papa.benchmark.tasks.fruits.task:Fruits", config.FruitsSettings, recipe="papa.recipes.fruits.recipe"
    ),
    "sd15": Entry(
        "papa.benchmark.tasks.sd15.task:Sd15",
        config.Sd15Settings,
        needs="papa.benchmark.tasks.sd15.needs",
        memory_mb=16_000,
    ),
}

USERS: dict[str, dict[str, UserEntry]] = {
    "gmm2d": {
        "linear": UserEntry("papa.benchmark.users.functions:LinearReward", {"slope": (0.6, -0.3)}),
        "quadratic": UserEntry(
            "papa.benchmark.users.functions:QuadraticReward",
            {"slope": (0.8, -0.2), "centre": (0.2, 0.2), "curvature": 0.3},
        ),
        "component": UserEntry(
            "papa.benchmark.users.functions:ComponentReward", {"component": 1, "bonus": 0.75, "exact_at": 2.0}
        ),
    },
    "digits": {
        "likes-1479": UserEntry("papa.benchmark.users.classes:ClassUser", {"classes": (1, 4, 7, 9)}),
        "likes-068": UserEntry("papa.benchmark.users.classes:ClassUser", {"classes": (0, 6, 8)}),
        "likes-3": UserEntry("papa.benchmark.users.classes:ClassUser", {"classes": (3,)}),
        "likes-thick": UserEntry("papa.benchmark.users.strokes:ThickStrokes", {}),
    },
    "fruits": {
        "apple": UserEntry("papa.benchmark.users.concepts:ConceptUser", {"wanted": {"kind": "apple"}}),
        "grape": UserEntry("papa.benchmark.users.concepts:ConceptUser", {"wanted": {"kind": "grape"}}),
        "banana": UserEntry("papa.benchmark.users.concepts:ConceptUser", {"wanted": {"kind": "banana"}}),
        "green": UserEntry("papa.benchmark.users.concepts:ConceptUser", {"wanted": {"colour": "green"}}),
        "two": UserEntry("papa.benchmark.users.concepts:ConceptUser", {"wanted": {"count": 2}}),
        "apple-graded": UserEntry(
            "papa.benchmark.users.concepts:ConceptUser", {"wanted": {"kind": "apple"}, "graded": True}
        ),
        "apple-or-banana": UserEntry(
            "papa.benchmark.users.concepts:UnionUser", {"members": ({"kind": "apple"}, {"kind": "banana"})}
        ),
    },
    "sd15": {
        "apple": UserEntry("papa.benchmark.users.concepts:ConceptUser", {"wanted": {"kind": "apple"}}),
        "grape": UserEntry("papa.benchmark.users.concepts:ConceptUser", {"wanted": {"kind": "grape"}}),
        "banana": UserEntry("papa.benchmark.users.concepts:ConceptUser", {"wanted": {"kind": "banana"}}),
        "apple-graded": UserEntry(
            "papa.benchmark.users.concepts:ConceptUser", {"wanted": {"kind": "apple"}, "graded": True}
        ),
        "apple-or-banana": UserEntry(
            "papa.benchmark.users.concepts:UnionUser", {"members": ({"kind": "apple"}, {"kind": "banana"})}
        ),
    },
}

METRICS: dict[str, Entry] = {
    "session": Entry("papa.benchmark.metrics.session:Session"),
    "preference": Entry("papa.benchmark.metrics.preference:Preference"),
    "fidelity": Entry("papa.benchmark.metrics.fidelity:Fidelity"),
    "diversity": Entry("papa.benchmark.metrics.diversity:Diversity"),
    "retention": Entry("papa.benchmark.metrics.retention:Retention"),
    "golden": Entry("papa.benchmark.metrics.golden:Golden"),
    "cost": Entry("papa.benchmark.metrics.cost:Cost"),
}


def find(kind: str, registry: dict[str, Entry], name: str) -> Entry:
    """The entry called `name`.

    Raises:  KeyError with the nearest known name.
    """
    if name not in registry:
        raise KeyError(unknown(kind, name, registry))
    return registry[name]
