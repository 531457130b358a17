"""MNIST at 28x28: what is shipped, the parts, the judges, the base model; and clothes, which cannot be shipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.command_line import Papa

from papa.benchmark.tasks.artefacts import folder
from papa.benchmark.tasks.interface import Judge
from papa.benchmark.tasks.mnist import MnistSettings
from papa.benchmark.tasks.mnist.task import CELL, ORIENTATIONS, Mnist, oriented_gradients
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.rng import Stream
from recipes.mnist import TIMESTEPS, new_scheduler, new_unet

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def mnist() -> Mnist:
    return Mnist(MnistSettings(steps=8))


@pytest.fixture(scope="module")
def judges(mnist: Mnist) -> dict[str, Judge]:
    return mnist.judges()


@pytest.fixture(scope="module")
def samples(mnist: Mnist) -> torch.Tensor:
    noise = stream_noise(Stream(0), (128, *mnist.model.shape))
    return euler_ancestral(mnist.model.denoiser(Cost()), mnist.model.sigmas(), noise)


def test_the_shipped_network_and_schedule_are_the_papers(mnist: Mnist) -> None:
    shipped = {name: weight.shape for name, weight in mnist.model.network().named_parameters()}
    assert shipped == {name: weight.shape for name, weight in new_unet("small").named_parameters()}
    scheduler = new_scheduler()
    assert len(mnist.model.alphas_cumprod) == TIMESTEPS == 1000
    assert torch.equal(mnist.model.alphas_cumprod, scheduler.alphas_cumprod)
    torch.testing.assert_close(scheduler.betas, torch.linspace(1e-4, 0.02, 1000))


@pytest.mark.slow
def test_the_judges_are_of_two_families_and_as_good_as_the_card_says(mnist: Mnist, judges: dict[str, Judge]) -> None:
    images, labels = (part[:500] for part in mnist.part("C"))
    for name, judge in judges.items():
        accuracy = float((judge.probabilities(images).argmax(1) == labels).mean())
        assert accuracy > 0.95 and accuracy == pytest.approx(mnist.card["figures"][f"{name}_accuracy"], abs=0.02)


@pytest.mark.slow
def test_the_base_samples_every_digit_and_both_judges_agree(judges: dict[str, Judge], samples: torch.Tensor) -> None:
    decided, held_out = (judge.probabilities(samples).argmax(1) for judge in judges.values())
    assert (np.bincount(decided, minlength=10) > 0).all()
    assert (decided == held_out).mean() > 0.7  # with 8 steps; the card has the figure
    assert samples.isfinite().all()


def test_fashion_mnist_says_what_it_needs(refused: Callable[..., str], papa: Papa, tmp_path: Path) -> None:
    if folder("fashion_mnist").is_dir():
        pytest.skip("the artefacts of fashion_mnist were made here")
    block = "{task: fashion_mnist, methods: [base], users: [likes-579], seeds: [0]}"
    config = tmp_path / "fashion.yaml"
    config.write_text(f"extends: {ROOT}/config/mnist.yaml\ngrid: {{eighty: {block}}}\n", encoding="utf-8")
    refused("prepare", "--config", str(config), "--task", "fashion_mnist", words=("not shipped", "FOLDER"))
    assert papa("doctor", "--config", config)[0] != 0


# ---------------------------------------------------------------- oriented gradients

GRID = 28 // CELL


def cells(images: torch.Tensor) -> torch.Tensor:
    """(n, orientations, rows, columns), before the square root."""
    return oriented_gradients(images).square().view(len(images), ORIENTATIONS, GRID, GRID)


def half(rising: bool = True) -> torch.Tensor:
    """Dark on the left and light on the right, or the other way round."""
    images = torch.full((1, 1, 28, 28), -1.0)
    images[..., 14:] = 1
    return images if rising else -images


def test_the_two_sides_of_a_stroke_point_opposite_ways() -> None:
    right, left = cells(half())[0], cells(half(rising=False))[0]
    assert right[0].sum() > 0 and right[1:].sum() == 0
    torch.testing.assert_close(left[ORIENTATIONS // 2], right[0])
    assert right[0, :, [0, 1, -2, -1]].sum() == 0  # only cells that touch the edge


def test_a_gradient_between_two_directions_is_shared_and_nothing_is_lost() -> None:
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    angle = torch.tensor(0.3)  # between the first two of eight directions, 0 and 0.785
    ramp = (torch.cos(angle) * columns + torch.sin(angle) * rows)[None, None]
    inside = cells(ramp)[0, :, 2:-2, 2:-2].mean((1, 2))
    share = angle / (2 * torch.pi / ORIENTATIONS)
    torch.testing.assert_close(inside[:2], 2 * torch.stack([1 - share, share]), atol=1e-4, rtol=1e-4)
    assert inside[2:].abs().max() < 1e-4
