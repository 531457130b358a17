"""Every method of the shipped configuration learns and samples."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from support.every_method import K, build

from papa.benchmark import grid
from papa.feedback import Feedback

FEW = {"particles": 6, "labels": 5}


@cache
def shipped() -> grid.Grid:
    return grid.load(Path(__file__).parents[2] / "config.yaml")


def configured() -> list[tuple[str, str]]:
    """Each method label of config.yaml, with the first task that it runs on."""
    return list({spec.method: (spec.method, spec.task) for spec in shipped()}.values())


@pytest.mark.parametrize(("label", "task"), configured())
def test_every_configured_method_learns_and_samples(label: str, task: str) -> None:
    data = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())["methods"][label]
    algorithm = data.pop("algorithm", label)
    method = build(algorithm, task, **{**data, **{k: v for k, v in FEW.items() if k in data}})
    query = method.ask(K)
    method.tell(query, Feedback(np.array([1.0, 0.0]), np.array([0.9, 0.1])))
    samples = method.sample(3)
    assert samples.shape[0] == 3 and torch.isfinite(samples).all()
