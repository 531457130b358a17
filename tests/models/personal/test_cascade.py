"""Stable Cascade's Stage C: its schedule, its attention, its own pipeline, and a training of a few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from support import tiny_cascade
from support.personal import TOKENS, WIDTH, person, randomize

from papa.errors import ArtefactError, ModelError
from papa.methods.ppd_training import Pairs, PpdTraining, Trainer
from papa.models.personal.adapter import About, attach, read_adapter, save_adapter, weights_hash
from papa.models.personal.attention import add_user_attention, cross_attention, projections, user_conditioning
from papa.models.personal.cascade import TOTAL, StageC, conditioned_on, load_prior, prompt_tokens, ratio, ratio_schedule
from papa.rng import Stream


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cascade.write(tmp_path_factory.mktemp("cascade"))


@pytest.fixture
def pipe(folder: Path) -> Any:
    return load_prior(folder)


def drawn(pipe: Any, scale: float = 4.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    given = {"height": 256, "width": 256, "num_inference_steps": 3, "guidance_scale": scale, "generator": generator}
    return pipe("an apple", num_images_per_prompt=2, **given).image_embeddings


def test_the_schedule_is_the_one_that_noise_is_added_by(pipe: Any) -> None:
    t = torch.tensor([0, 400, TOTAL - 1])
    x, noise = torch.randn(2, 3, 16, 4, 4)
    a = ratio_schedule(pipe.scheduler)[t].float().view(-1, 1, 1, 1)
    torch.testing.assert_close(a.sqrt() * x + (1 - a).sqrt() * noise, pipe.scheduler.add_noise(x, noise, ratio(t)))
    assert (ratio_schedule(pipe.scheduler).diff() <= 0).all()


def test_nobody_and_untrained_are_the_base_and_a_person_is_not(pipe: Any) -> None:
    base, before = drawn(pipe), weights_hash(pipe.prior)
    assert len(cross_attention(pipe.prior)) == 4
    add_user_attention(pipe.prior, WIDTH, Stream(0))
    with conditioned_on(pipe, person()[0]):
        torch.testing.assert_close(drawn(pipe), base, atol=1e-5, rtol=1e-5)
    randomize(pipe.prior)
    torch.testing.assert_close(drawn(pipe), base, atol=1e-5, rtol=1e-5)
    with conditioned_on(pipe, person()[0]):
        assert (drawn(pipe) - base).abs().max() > 1e-3
    torch.testing.assert_close(drawn(pipe), base, atol=1e-5, rtol=1e-5)
    assert weights_hash(pipe.prior) == before


def test_the_branch_without_the_prompt_is_not_told(pipe: Any) -> None:
    told = add_user_attention(pipe.prior, WIDTH, Stream(0))
    randomize(pipe.prior)
    seen = []
    hook = pipe.prior.register_forward_pre_hook(lambda *_: seen.append(told.tokens))
    for guided, scale in ((True, 4.0), (False, 1.0)):
        with conditioned_on(pipe, person()[0], guided):
            drawn(pipe, scale)
    hook.remove()
    halves, alone = seen[2], seen[-1]
    assert len(halves) == 4 and not halves[2:].any() and torch.equal(halves[0], person()[0])
    assert torch.equal(alone, person())


def test_an_adapter_goes_into_a_fresh_pipeline(pipe: Any, folder: Path, tmp_path: Path) -> None:
    add_user_attention(pipe.prior, WIDTH, Stream(0))
    randomize(pipe.prior)
    for weight in projections(pipe.prior).values():
        weight.data = weight.data.half().float()
    save_adapter(tmp_path / "a.safetensors", pipe.prior, About(weights_hash(pipe.prior), "clip", TOKENS, WIDTH))
    fresh = load_prior(folder)
    attach(cast(Any, fresh).prior, read_adapter(tmp_path / "a.safetensors"))
    with conditioned_on(pipe, person()[0]), conditioned_on(fresh, person()[0]):
        assert torch.equal(drawn(pipe), drawn(fresh))


def test_a_training_learns_pairs(pipe: Any) -> None:
    """Two persons, two pictures: each prefers another one. After some steps both margins are positive."""
    add_user_attention(pipe.prior, WIDTH, Stream(0))
    latents = torch.from_numpy(Stream(3).normal(2, 16, 4, 4))
    people = torch.stack([person(1, 0), person(1, 1)])
    pair = np.array([0, 1])
    prompts = prompt_tokens(pipe, "an apple")
    pairs = Pairs(latents, pair, 1 - pair, 0 * pair, pair, prompts, people, torch.zeros(TOKENS, WIDTH))
    settings = PpdTraining(steps=40, batch=16, lr=1e-2, strength=20.0, every=20, dropout=0.0)
    trainer = Trainer(StageC(pipe.prior), ratio_schedule(pipe.scheduler), settings, Stream(1))
    before = trainer.evaluate(pairs)
    curve = trainer.run(pairs, pairs, lambda _: None)
    assert before["held_out_loss"] == pytest.approx(np.log(2), abs=1e-6)
    assert curve[-1]["held_out_loss"] < 0.6 and curve[-1]["held_out_right"] == 1.0


def test_bad_folders(tmp_path: Path, pipe: Any) -> None:
    with pytest.raises(ArtefactError, match="cannot be loaded as a Stable Cascade prior"):
        load_prior(tmp_path)
    with pytest.raises(ModelError, match="attach one first"), conditioned_on(pipe, person()[0]):
        pass
    with user_conditioning(add_user_attention(pipe.prior, WIDTH, Stream(0)), None):
        assert drawn(pipe).isfinite().all()
