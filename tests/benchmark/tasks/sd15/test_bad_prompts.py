"""Prompts, banks and models that cannot be used: each a paragraph that says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import tiny_sd15
from support.refusals import copied, refused
from support.users_of import user_of

from papa.benchmark.tasks.sd15.task import Sd15
from papa.errors import ModelError, SettingsError

LONG = "a photo of " + "very " * 40 + "ripe fruit"


def test_a_prompt_that_the_tokenizer_would_cut() -> None:
    task = tiny_sd15.task()
    refused(SettingsError, lambda: task.model.condition(LONG), "reads 75", "shorten it")
    refused(SettingsError, lambda: Sd15(tiny_sd15.settings(prompt=LONG)), "shorten it")
    assert task.model.condition("a" * 75)["prompt"].shape == (1, 77, 16)  # every letter is a token: this one just fits


@pytest.mark.parametrize("prompts", [[], [" "]])
def test_a_concept_without_a_prompt(prompts: list[str]) -> None:
    settings = tiny_sd15.settings(bank=tiny_sd15.BANK | {"grape": prompts})
    refused(SettingsError, lambda: Sd15(settings), "no prompt for 'grape'")


def test_a_bank_without_a_concept() -> None:
    refused(SettingsError, lambda: Sd15(tiny_sd15.settings(bank={})), "bank is empty")


def test_a_user_whose_concept_is_not_in_the_bank() -> None:
    task = Sd15(tiny_sd15.settings(bank={"lemon": ["a lemon"], "grape": ["grapes"]}))
    refused(SettingsError, lambda: user_of("sd15", "apple").calibrate(task), "apple", "it has lemon, grape")


def test_a_prompt_of_the_bank_that_the_proxy_would_cut() -> None:
    task = Sd15(tiny_sd15.settings(bank=tiny_sd15.BANK | {"grape": [LONG]}))
    refused(SettingsError, task.proxy, "the proxy reads 14", "shorten it")


def test_a_model_of_another_prediction_type(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(tiny_sd15.SCHEDULER | {"prediction_type": "sample"}))
    refused(ModelError, lambda: Sd15(tiny_sd15.settings(model=str(folder))), "'sample'", "epsilon")
