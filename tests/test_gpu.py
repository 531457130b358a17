"""On a CUDA machine: every method runs there, and float32 results agree with the CPU's.

pytest -m gpu
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from papa.align import align
from papa.cli import open_task
from papa.config import Config
from papa.grid import Grid
from papa.records import read_arrays

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

METHODS = {
    "base": {"labels": 8},
    "best_of_n": {"labels": 8, "n": 2},
    "papa": {"labels": 8, "updates": 1},
    "epapa": {"labels": 8, "updates": 1},
    "fkc": {"labels": 16, "particles": 8, "surrogate": {"epochs": 5}},
}


def shown(folder: Path, device: str, method: str) -> torch.Tensor:
    """The images of the first round (before anything was learned) of one run on a device."""
    config = Config.model_validate(
        {
            "results": str(folder / device),
            "device": device,
            "measures": {"final": 32, "per_round": 8, "base": 64},
            "methods": METHODS,
            "grid": {"g": {"task": "digits", "methods": list(METHODS), "users": ["likes-1479"], "seeds": [0]}},
        }
    )
    grid = Grid(config)
    (spec,) = grid.select(method=method)
    task = open_task("digits", spec.task_settings, device, 1)
    align(spec, grid.pool("digits", 0), task, lambda message: None)
    return torch.from_numpy(read_arrays(spec.folder / "samples.npz")["shown"][:8]).float()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_on_cuda_and_starts_as_on_the_cpu(method: str, tmp_path: Path) -> None:
    difference = (shown(tmp_path, "cuda", method) - shown(tmp_path, "cpu", method)).abs()
    assert difference.max() <= 2  # of 255 grey levels
