"""MNIST at 28x28: what is shipped, the parts, the judges, the base model; and clothes, which cannot be shipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.command_line import Papa

from papa.benchmark.grid import load
from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.benchmark.tasks.mnist import MnistSettings
from papa.benchmark.tasks.mnist.task import Mnist, pictures
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.files import sha256
from papa.rng import Stream
from recipes.digits import split_indices
from recipes.mnist import SEED, TIMESTEPS, new_scheduler, new_unet

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def mnist() -> Mnist:
    return Mnist(MnistSettings(steps=8))


@pytest.fixture(scope="module")
def samples(mnist: Mnist) -> torch.Tensor:
    noise = stream_noise(Stream(0), (128, *mnist.model.shape))
    return euler_ancestral(mnist.model.denoiser(Cost()), mnist.model.sigmas(), noise)


def test_every_artefact_has_the_sha256_of_the_card_and_none_is_left_out() -> None:
    card, home = verified_card("mnist"), folder("mnist")
    assert all(sha256(home / name) == digest for name, digest in card["sha256"].items())
    files = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    assert files - set(card["sha256"]) == {"card.json", "README.md"}
    weights = home.rglob("*.safetensors")
    assert sum(path.stat().st_size for path in weights) <= 4 * 2**20
    assert sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) <= 6 * 2**20


def test_the_page_beside_the_artefacts_is_the_cards_and_credits_the_data() -> None:
    said, card = (folder("mnist") / "README.md").read_text(encoding="utf-8"), verified_card("mnist")
    assert all(digest in said for digest in card["sha256"].values())
    assert "CC BY-SA 3.0" in said and "LeCun" in said and f"{card['figures']['fid_to_C']:.2f}" in said


def test_the_parts_are_the_recipes_and_disjoint(mnist: Mnist) -> None:
    splits = mnist.card["splits"]
    assert splits == split_indices(pictures(folder("mnist"))[1], Stream(SEED).at("mnist", "recipe"))
    assert sum(map(len, splits.values())) == len({i for part in splits.values() for i in part}) == 10000


def test_the_shipped_network_and_schedule_are_the_papers(mnist: Mnist) -> None:
    shipped = {name: weight.shape for name, weight in mnist.model.network().named_parameters()}
    assert shipped == {name: weight.shape for name, weight in new_unet("small").named_parameters()}
    scheduler = new_scheduler()
    assert len(mnist.model.alphas_cumprod) == TIMESTEPS == 1000
    assert torch.equal(mnist.model.alphas_cumprod, scheduler.alphas_cumprod)
    torch.testing.assert_close(scheduler.betas, torch.linspace(1e-4, 0.02, 1000))


def test_the_judges_are_of_two_families_and_as_good_as_the_card_says(mnist: Mnist) -> None:
    images, labels = (part[:500] for part in mnist.part("C"))
    for name, judge in mnist.judges().items():
        accuracy = float((judge.probabilities(images).argmax(1) == labels).mean())
        assert accuracy > 0.95 and accuracy == pytest.approx(mnist.card["figures"][f"{name}_accuracy"], abs=0.02)


def test_the_base_draws_every_digit_and_both_judges_see_the_same(mnist: Mnist, samples: torch.Tensor) -> None:
    decided, held_out = (judge.probabilities(samples).argmax(1) for judge in mnist.judges().values())
    assert (np.bincount(decided, minlength=10) > 0).all()
    assert (decided == held_out).mean() > 0.7  # with 8 steps; the card has the figure
    assert samples.isfinite().all()


def test_figures_of_the_card(mnist: Mnist) -> None:
    figures = mnist.card["figures"]
    assert figures["judges_agree_on_samples"] >= 0.95 and figures["fid_to_C"] <= 3 * figures["fid_floor"]
    near = figures["nearest_training_image"]
    assert near["samples"] > 0.8 * near["unseen_real"]  # memorization would be far below


@pytest.mark.xfail(strict=True, reason="the aim; 30,000 steps of 1.3 M parameters reach 2.05 (docs/mnist.md)")
def test_fid_is_within_twice_that_of_real_digits(mnist: Mnist) -> None:
    figures = mnist.card["figures"]
    assert figures["fid_to_C"] <= 2 * figures["fid_floor"]


def test_the_paper_configurations_are_whole() -> None:
    grid = load(ROOT / "config/mnist.yaml")
    assert {spec.seed for spec in grid} == set(range(5)) and len({spec.user for spec in grid}) == 3
    [published] = grid.select("mnist", "papa-published-300", "likes-1479", [0])
    settings = published.settings
    assert (settings.labels, settings.per_round, settings.updates, settings.items) == (300, 10, 10, 1)
    assert (settings.timesteps, settings.lr) == ("exact", 1e-5)
    assert {spec.task for spec in load(ROOT / "config/fashion_mnist.yaml")} == {"fashion_mnist"}
    tuned = load(ROOT / "config/tuning-mnist.yaml")
    assert not {spec.seed for spec in tuned} & {spec.seed for spec in grid}


def test_clothes_say_what_they_need(refused: Callable[..., str], papa: Papa) -> None:
    if folder("fashion_mnist").is_dir():
        pytest.skip("somebody made the artefacts of fashion_mnist here")
    words = ("not shipped", "python -m recipes.mnist --task fashion_mnist --data FOLDER")
    refused("prepare", "--config", str(ROOT / "config/fashion_mnist.yaml"), "--task", "fashion_mnist", words=words)
    assert papa("doctor", "--config", ROOT / "config/fashion_mnist.yaml")[0] != 0
