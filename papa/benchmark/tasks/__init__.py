"""The tasks: a model with hidden users, judges and references; one folder and one line each.

A folder's `__init__.py` holds settings, tastes and declaration and imports no torch; `task.py` holds the task. A task
that differs from another one in settings only is an entry of a configuration, not a folder.
"""

from __future__ import annotations

from papa.benchmark.tasks.declaration import TaskDeclaration
from papa.registry import find

TASKS: dict[str, str] = {
    "gmm2d": "papa.benchmark.tasks.gmm2d:GMM2D",
    "digits": "papa.benchmark.tasks.digits:DIGITS",
    "mnist": "papa.benchmark.tasks.mnist:MNIST",
    "fashion_mnist": "papa.benchmark.tasks.mnist:FASHION_MNIST",
    "fruits": "papa.benchmark.tasks.fruits:FRUITS",
    "sd15": "papa.benchmark.tasks.pipeline:SD15",
    "pipeline": "papa.benchmark.tasks.pipeline:PIPELINE",
}


def declaration(name: str) -> TaskDeclaration:
    """Properties of a task that are available without loading it.

    Raises:  SettingsError that names the nearest known task.
    """
    return find("task", TASKS, name)
