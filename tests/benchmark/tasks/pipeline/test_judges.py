"""Judges over a bank of concepts, images of known kind, and prompts that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support import tiny_sd15
from support.drawn_images import images_of
from support.pixels import META
from support.refusals import refused
from support.users_of import user_of

from papa.benchmark.config import Measures
from papa.benchmark.metrics.diversity import Diversity
from papa.benchmark.metrics.interface import Bench, RunView
from papa.benchmark.tasks.pipeline.task import PipelineTask
from papa.benchmark.tasks.text_to_image import TextToImage
from papa.benchmark.users.concepts import ConceptTaste, ConceptUser
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.errors import PapaError, SettingsError
from papa.rng import Stream


def test_the_softmax_runs_over_all_concepts(task: TextToImage) -> None:
    images = images_of(task)
    for judge in task.judges().values():
        shares = judge.probabilities(images)
        assert shares.shape == (len(images), len(task.concepts))
        np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
        assert np.ptp(shares, axis=0).max() > 1e-3


def test_a_concepts_weight_does_not_depend_on_how_many_prompts_it_has(small: PipelineTask) -> None:
    twice = PipelineTask(tiny_sd15.settings(bank=tiny_sd15.BANK | {"grape": ["grapes", "grapes"]}))
    images = images_of(small)
    np.testing.assert_allclose(twice.proxy().probabilities(images), small.proxy().probabilities(images), atol=1e-6)


def test_the_self_check_passes_on_base_samples_and_fails_on_one_image(small: PipelineTask) -> None:
    said: list[str] = []
    small.check(said.append)
    assert "apple" in said[0]
    with pytest.raises(PapaError, match="same scores"):
        small.proxy().self_check(images_of(small, 1).expand(8, -1, -1, -1))


def test_images_of_known_kind_are_drawn_once_and_for_their_own_prompts(small: PipelineTask) -> None:
    images, shown = small.known_images()
    assert small.known_images()[0] is images and small.model.prompt == "a photo of a fruit"
    noise = stream_noise(Stream(0).at("known", concept=2), (4, *small.model.shape))
    with small.model.prompted("a banana"), torch.no_grad():
        own = small.model.decode(euler_ancestral(small.model.denoiser(Cost()), small.model.sigmas(), noise))
    torch.testing.assert_close(images[shown == 2], own)


def test_without_references_liked_images_are_compared_by_the_held_out_judge(small: PipelineTask) -> None:
    user = ConceptUser(ConceptTaste(wanted={"kind": ["apple", "grape", "banana"]}))
    user.calibrate(small)
    images = images_of(small, 24)
    bench = Bench(small, Measures(diversity=12, per_round=4), Stream(0), "features")
    run = RunView(bench, META, {"final": images[:12]}, images[12:], [{}], [], user)
    found = {row.metric: row.value for row in Diversity().measure(run) if row.stage == "final"}
    assert bench.references is None and found["liked_distance"] > 0 and found["vendi"] > 1
    assert "coverage" not in found  # it compares with references
    liked = images[:12][torch.from_numpy(user.verdict(images[:12]) > 0.5)]
    embedded: Any = small.judges()["held_out"]
    assert found["liked_distance"] == pytest.approx(torch.pdist(embedded.embed(liked).double()).mean().item())


# ---------------------------------------------------------------- refused prompts

LONG = "a photo of " + "very " * 40 + "ripe fruit"


def test_prompts_that_a_tokenizer_would_truncate_are_refused(small: PipelineTask) -> None:
    refused(SettingsError, lambda: small.model.condition(LONG), "limit of the model is 77")
    refused(SettingsError, lambda: PipelineTask(tiny_sd15.settings(prompt=LONG)), "shorten it")
    assert small.model.condition("a" * 75)["prompt"].shape == (1, 77, 16)  # every letter is a token: this one just fits
    task = PipelineTask(tiny_sd15.settings(bank=tiny_sd15.BANK | {"grape": [LONG]}))
    refused(SettingsError, task.proxy, "limit is 14")


def test_banks_without_a_prompt_or_a_users_concept_are_refused() -> None:
    for prompts in ([], [" "]):
        settings = tiny_sd15.settings(bank=tiny_sd15.BANK | {"grape": prompts})
        refused(SettingsError, lambda settings=settings: PipelineTask(settings), "grape")
    refused(SettingsError, lambda: PipelineTask(tiny_sd15.settings(bank={})), "empty")
    task = PipelineTask(tiny_sd15.settings(bank={"lemon": ["a lemon"], "grape": ["grapes"]}))
    refused(SettingsError, lambda: user_of("sd15", "apple").calibrate(task), "apple", "lemon, grape")


def test_retention_asks_for_concepts_of_the_tasks_own_bank() -> None:
    task = PipelineTask(tiny_sd15.settings(retained=None))
    assert task.retention((0,)) == ("grapes", (1,)) and task.retention((1,)) == ("an apple", (0,))
    assert task.retention((0, 1, 2, 3)) is None and task.retention(None) is None
    listed = PipelineTask(tiny_sd15.settings())  # as sd15 has them
    assert listed.retention((0,)) == ("a banana", (2,)) and listed.retention((2,)) == ("an apple", (0,))
