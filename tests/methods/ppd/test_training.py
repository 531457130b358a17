"""The multi-user training on a toy population: it learns each user's preference, resumes, and has its controls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.personal import TEXT, TOKENS, WIDTH, person, prompted_unet

from papa.errors import DivergedError, PapaError
from papa.methods.ppd_training import Pairs, PpdTraining, Trainer
from papa.models.personal.adapter import weights_hash
from papa.models.personal.attention import add_user_attention, projections
from papa.models.training import scheduled
from papa.rng import Stream

ABAR = torch.linspace(0.999, 0.01, 50).double()
SMALL = PpdTraining(steps=60, batch=16, lr=1e-2, strength=20.0, every=20, dropout=0.0, above=0.0, weights="noise")


def pairs() -> Pairs:
    """Two users and two images; each prefers another one."""
    latents = torch.from_numpy(Stream(3).normal(2, 4, 8, 8))
    which = np.array([0, 1])
    users = torch.stack([person(1, 0), person(1, 1)])
    prompts = torch.from_numpy(Stream(4).normal(1, 5, TEXT))
    return Pairs(latents, which, 1 - which, 0 * which, which, prompts, users, torch.zeros(TOKENS, WIDTH))


def trainer(settings: PpdTraining = SMALL, checkpoint: Path | None = None, seed: int = 0) -> Trainer:
    unet = prompted_unet()
    add_user_attention(unet, WIDTH, Stream(seed).at("init"))
    return Trainer(unet, ABAR, settings, Stream(seed), checkpoint)


def quiet(_: str) -> None:
    pass


def test_it_learns_the_preferences_and_leaves_the_base_alone() -> None:
    training = trainer()
    before = weights_hash(training.net)
    start = training.evaluate(pairs())
    assert start == {"held_out_loss": pytest.approx(np.log(2), abs=1e-6), "held_out_right": 0.0}
    curve = training.run(pairs(), pairs(), quiet)
    assert curve[-1]["held_out_right"] == 1.0 and curve[-1]["held_out_loss"] < 0.6
    assert weights_hash(training.net) == before
    assert [line["step"] for line in curve] == [20, 40, 60]


def test_with_shuffled_users_there_is_nothing_to_learn() -> None:
    """The two users contradict each other."""
    training = trainer(SMALL.model_copy(update={"shuffled": True}))
    curve = training.run(pairs(), pairs(), quiet)
    assert curve[-1]["held_out_loss"] > 0.65


def test_dropped_users_train_the_unconditional_model() -> None:
    training = trainer(SMALL.model_copy(update={"dropout": 1.0, "steps": 3, "every": 3}))
    training.run(pairs(), pairs(), quiet)
    assert all(not weight.any() for name, weight in training.weights.items() if name.endswith("user_v"))  # zero tokens


class Killed(Exception):
    pass


def test_a_killed_training_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    whole = trainer()
    whole.run(pairs(), pairs(), quiet)
    first = trainer(checkpoint=tmp_path / "checkpoint")
    step: Any = first.step

    def dying(*args: Any) -> Any:
        if first.done == 47:
            raise Killed
        return step(*args)

    first.step = dying  # type: ignore[method-assign]
    with pytest.raises(Killed):
        first.run(pairs(), pairs(), quiet)
    said: list[str] = []
    second = trainer(checkpoint=tmp_path / "checkpoint")
    curve = second.run(pairs(), pairs(), said.append)
    assert said[0] == "ppd: going on after step 40" and curve == whole.curve
    assert all(torch.equal(second.weights[name], weight) for name, weight in whole.weights.items())


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    trainer(SMALL.model_copy(update={"steps": 20}), file).run(pairs(), pairs(), quiet)
    with pytest.raises(PapaError, match="of a training with other settings; delete it"):
        trainer(checkpoint=file).run(pairs(), pairs(), quiet)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(PapaError, match=r"cannot be read.*delete it"):
        trainer(checkpoint=file).run(pairs(), pairs(), quiet)


def test_a_batch_in_parts_takes_the_same_step() -> None:
    whole, parts = (trainer(SMALL.model_copy(update={"chunk": chunk, "steps": 3, "every": 3})) for chunk in (None, 5))
    curves = [training.run(pairs(), pairs(), quiet) for training in (whole, parts)]
    assert curves[0][0] == pytest.approx(curves[1][0], rel=1e-4)
    for name, weight in whole.weights.items():
        torch.testing.assert_close(parts.weights[name], weight, rtol=1e-3, atol=1e-5)


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    training = trainer()
    next(iter(projections(training.net).values())).data.fill_(float("nan"))
    with pytest.raises(DivergedError, match="lower lr or strength"):
        training.run(pairs(), pairs(), quiet)


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    factors = [scheduled(step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(0.2) and factors[5] == pytest.approx(1.0) and factors[-1] < 0.001
    assert factors == sorted(factors[:5]) + sorted(factors[5:], reverse=True)


def test_errors_of_the_clean_estimate_weigh_high_noise_levels() -> None:
    """In one forward pass the weighted error is the squared error of the clean estimate."""
    training = trainer(SMALL.model_copy(update={"weights": "clean"}))
    chosen, tokens = np.array([0, 1]), torch.zeros(2, TOKENS, WIDTH)
    with torch.no_grad():
        model, reference = training.errors(training.noised(pairs(), chosen, tokens, Stream(9).generator()))
    assert torch.equal(model, reference)
    rng, data = Stream(9).generator(), pairs()
    t = (((rng.permutation(2) + rng.random(2)) / 2) * 50).astype(np.int64)
    noise = torch.from_numpy(rng.standard_normal((2, 4, 8, 8), dtype=np.float32))
    a = ABAR[torch.from_numpy(t)].float().view(-1, 1, 1, 1)
    for row, items in enumerate((data.preferred, data.rejected)):
        x0 = data.latents[torch.from_numpy(items)]
        x_t = a.sqrt() * x0 + (1 - a).sqrt() * noise
        with torch.no_grad():
            eps = training.net(x_t, torch.from_numpy(t), data.prompts.expand(2, -1, -1)).sample  # type: ignore[operator]
        clean = (x_t - (1 - a).sqrt() * eps) / a.sqrt()
        torch.testing.assert_close(model[row], (clean - x0).square().flatten(1).mean(1), rtol=1e-3, atol=1e-4)
