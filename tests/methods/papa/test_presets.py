"""PAPA's presets: the published one is the release, and single settings win over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from support import tiny
from support.small_papa import method, update

from papa.benchmark.tasks.digits.task import Digits
from papa.errors import SettingsError
from papa.methods.papa import EpapaSettings, PapaSettings


def test_the_published_preset_takes_one_step_per_image_of_the_current_round() -> None:
    """The rest is in its gradient (`test_release.py`)."""
    found = PapaSettings(preset="published", per_round=10, labels=300)
    assert (found.items, found.updates, found.lr, found.accumulate, found.timesteps) == (1, 10, 1e-5, False, "exact")
    assert PapaSettings(preset="published").updates == PapaSettings().per_round
    assert EpapaSettings(preset="published").frozen_below == 0.4


def test_single_settings_win_over_the_preset(tmp_path: Path) -> None:
    given: dict[str, Any] = {"preset": "published", "lr": 1e-3, "negatives": "bounded"}
    found = PapaSettings(**given)
    assert (found.lr, found.negatives, found.c_pref) == (1e-3, "bounded", 0.1)
    grid = tiny.grid(tmp_path, tiny.DIGITS, methods={"base": {}, "fkc": {}, "papa": given})
    assert grid.methods["papa"].settings == found


def test_the_releases_second_term_is_at_the_last_timestep_of_liked_items(digits: Digits) -> None:
    p = method(digits, preset="published", timesteps="exact").pairs(update(digits, [1.0, -1.0]))
    assert p.anchor[0].nonzero().flatten().tolist() == [199] and not p.anchor[1].any()
    assert p.anchor[0, 199].item() == pytest.approx(0.009 / 2)
    eighths = method(digits, preset="published", timesteps="exact", processes=8).pairs(update(digits, [1.0]))
    assert eighths.anchor[0].nonzero().flatten().tolist() == list(range(24, 200, 25))
    assert eighths.anchor.sum().item() == pytest.approx(0.009)


def test_processes_need_equal_parts_of_every_timestep(digits: Digits) -> None:
    with pytest.raises(SettingsError, match="processes: 7 parts of 200 timesteps are not equal"):
        method(digits, preset="published", timesteps="exact", processes=7)
    with pytest.raises(ValidationError, match="need timesteps: exact and qpde_timesteps: last"):
        PapaSettings(processes=8)
