"""The artefacts of fruits that papa ships: whole, small and as good as their card says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from papa.benchmark.tasks.artefacts import folder
from papa.benchmark.tasks.fruits.captions import kind_prompt
from papa.benchmark.tasks.fruits.render import CONCEPTS, KINDS, pictures
from papa.benchmark.tasks.fruits.task import Fruits
from papa.benchmark.tasks.images import to_range
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.rng import Stream


def test_what_is_drawn_is_what_is_asked_for(fruits: Fruits) -> None:
    """As the card says, on fresh noise; 256 generic samples put 4% within three standard errors of 0.4%."""
    judge = fruits.judges()["attributes"]

    def kinds(prompt: str, n: int) -> list[str]:
        noise = stream_noise(Stream(7).at(prompt), (n, *fruits.model.shape))
        with fruits.model.prompted(prompt), torch.no_grad():
            images = fruits.model.decode(euler_ancestral(fruits.model.denoiser(Cost()), fruits.model.sigmas(), noise))
        return [CONCEPTS[c][0] for c in judge.probabilities(images).argmax(1)]

    right = [drawn == kind for kind in KINDS for drawn in kinds(kind_prompt(kind), 16)]
    assert np.mean(right) >= 0.95
    generic = kinds(fruits.settings.prompt, 256)
    assert set(generic) == set(KINDS) and min(generic.count(kind) for kind in KINDS) > 0.004 * len(generic)


def test_the_judges_know_fresh_renders(fruits: Fruits) -> None:
    images, shown = pictures(160, np.random.default_rng(98))
    truth = np.array([what.concept for what in shown])
    for name, judge in fruits.judges().items():
        shares = judge.probabilities(to_range(images))
        assert shares.shape == (160, len(CONCEPTS)), name
        np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
        assert (shares.argmax(1) == truth).mean() >= 0.95, name


def test_any_diffusers_program_can_load_the_pipeline() -> None:
    pipe = StableDiffusionPipeline.from_pretrained(folder("fruits") / "pipeline", dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    picture = pipe("a photo of a banana", num_inference_steps=3, output_type="np", height=32, width=32).images
    assert picture.shape == (1, 32, 32, 3) and np.isfinite(picture).all()


@pytest.mark.slow
def test_references_and_floor_are_different_renders(fruits: Fruits) -> None:
    references, (others, labels) = fruits.references(), fruits.other_real_images()
    assert len(references.images) == len(others) == len(labels) and not torch.equal(references.images, others)
    assert references.features(references.images[:5]).shape == (5, references.feature_dim)


def test_a_judge_looks_at_a_picture_once(fruits: Fruits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where it was written to, nor another bank's, and never in the way of a gradient."""
    judge, seen = fruits.proxy(), []
    embed = type(judge).embed
    monkeypatch.setattr(type(judge), "embed", lambda self, images: seen.append(len(images)) or embed(self, images))
    images = fruits.known_images()[0][:4].clone()
    first = judge.probabilities(images)
    assert (judge.probabilities(images) == first).all() and seen == [4]
    judge.with_bank(judge.bank).probabilities(images)
    assert seen == [4, 4]
    images += 0.5
    assert (judge.probabilities(images) != first).any() and seen == [4, 4, 4]
    leaf = images.clone().requires_grad_()
    judge(leaf)[:, 0].sum().backward()
    judge(leaf)[:, 0].sum().backward()
    assert len(seen) == 5 and leaf.grad is not None and leaf.grad.abs().sum() > 0
