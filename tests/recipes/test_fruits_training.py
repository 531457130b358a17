"""The trainings of the fruits task: batches, losses, and that they repeat."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from papa.benchmark.tasks.fruits.nets import attribute_judge
from papa.benchmark.tasks.fruits.render import Attributes, pictures
from papa.benchmark.tasks.images import to_range
from papa.rng import Stream
from recipes.fruits.autoencoder import new_autoencoder, psnr, train_autoencoder
from recipes.fruits.diffusion import TIMESTEPS, new_scheduler, train_diffusion
from recipes.fruits.judging import contrastive, train_attributes, train_clip
from recipes.fruits.training import batches

seeds = st.integers(0, 2**32 - 1)


def quiet(message: str) -> None:
    """No progress."""


def some(n: int) -> tuple[torch.Tensor, list[Attributes]]:
    images, shown = pictures(n, np.random.default_rng(0))
    return to_range(images), shown


def test_batches_use_everything_before_anything_again() -> None:
    drawn = list(batches(10, 4, 7, np.random.default_rng(0)))
    assert [step for step, _ in drawn] == list(range(7)) and all(len(chosen) == 4 for _, chosen in drawn)
    order = np.concatenate([chosen for _, chosen in drawn])
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))


@given(seeds)
def test_the_contrastive_loss_is_clips_where_one_caption_is_true(seed: int) -> None:
    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, 3, (6, 6)))
    target = torch.arange(6)
    clip = (torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)) / 2
    assert contrastive(logits, torch.eye(6, dtype=torch.bool)).item() == pytest.approx(clip.item())


def test_true_captions_do_not_compete() -> None:
    logits, true = torch.zeros(3, 3), torch.eye(3, dtype=torch.bool)
    true[0, 1] = True
    logits[0, 1] = 20.0
    both = contrastive(logits, true)
    logits[0, 0] = -20.0  # the other true caption of picture 0 gets worse: only its own term does
    assert contrastive(logits, true) > both
    assert contrastive(torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool)) == 0


def test_every_training_runs_and_repeats(tmp_path: Path) -> None:
    x, shown = some(160)
    stream = Stream(5)
    vae = train_autoencoder(x, stream.at("vae"), quiet, steps=3)
    twin = train_autoencoder(x, stream.at("vae"), quiet, steps=3)
    assert all(torch.equal(a, b) for a, b in zip(vae.parameters(), twin.parameters(), strict=True))
    assert math.isfinite(psnr(vae, x[:16])) and vae.config["scaling_factor"] != 1
    unet, text_encoder, tokenizer = train_diffusion(x, shown, vae, stream.at("diffusion"), quiet, steps=2)
    ids = torch.tensor([tokenizer("a photo of an apple").input_ids])
    text = text_encoder(ids).last_hidden_state
    assert unet(torch.zeros(1, 4, 8, 8), 10, text).sample.shape == (1, 4, 8, 8)
    model = train_clip("held_out_clip", x, shown, tmp_path, stream.at("clip"), quiet, steps=2)
    loaded = open_clip.create_model(f"local-dir:{tmp_path}").eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded.encode_image(x[:2]), model.encode_image(x[:2]), atol=5e-3, rtol=0)  # pyright: ignore
    elsewhere = torch.get_rng_state()
    few, more = (train_attributes(attribute_judge, x, shown, stream.at("net"), quiet, steps=n) for n in (1, 2))
    assert any(not torch.equal(a, b) for a, b in zip(few.parameters(), more.parameters(), strict=True))
    assert torch.equal(elsewhere, torch.get_rng_state())


def test_the_schedule_is_stable_diffusions() -> None:
    abar = new_scheduler().alphas_cumprod
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, TIMESTEPS) ** 2
    torch.testing.assert_close(abar, (1 - betas).cumprod(0))


def test_the_autoencoder_makes_latents_of_a_twelfth() -> None:
    vae = new_autoencoder().eval()
    with torch.no_grad():
        assert vae.encode(torch.zeros(1, 3, 32, 32)).latent_dist.mean.shape == (1, 4, 8, 8)  # pyright: ignore
