"""Fine-tuning of a prompted pipeline: the weights that it moves, chunks, and checkpointing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.small_sessions import build, played, weights

from papa.benchmark.tasks.text_to_image import TextToImage
from papa.diffusion.denoiser import Cost
from papa.methods._finetune import Update
from papa.methods.losses import Networks, papa_gradient
from papa.rng import Stream


@pytest.mark.parametrize("trainable", ["all", "lora"])
def test_training_moves_what_is_trained_and_leaves_the_tasks_own_weights(trainable: str, task: TextToImage) -> None:
    before = {name: value.clone() for name, value in task.model.pipe.unet.state_dict().items()}
    method = build("papa-lora", task, trainable=trainable)
    start = weights(method.network)
    played(method, task)
    assert (weights(method.network) - start).abs().max() > 1e-4
    for name, value in task.model.pipe.unet.state_dict().items():
        torch.testing.assert_close(value, before[name], atol=0, rtol=0)


@pytest.mark.parametrize("trainable", ["all", "lora"])
def test_without_a_preference_term_nothing_moves(trainable: str, task: TextToImage) -> None:
    method = build("papa-lora", task, trainable=trainable, c_pref=0)
    start = weights(method.network)
    played(method, task)
    torch.testing.assert_close(weights(method.network), start, atol=0, rtol=0)


@pytest.mark.parametrize("trainable", ["all", "lora"])
def test_the_loss_does_not_depend_on_the_chunk(trainable: str, task: TextToImage) -> None:
    found = []
    for chunk in (1, 4, 64):
        method = build("papa-lora", task, trainable=trainable, timesteps=2)
        if trainable == "lora":  # away from B = 0, where A has no gradient
            with torch.no_grad():
                for name, p in method.trained.items():
                    p.copy_(torch.from_numpy(Stream(7).at(name).normal(*p.shape)) * 0.1)
        x0 = torch.from_numpy(Stream(2).normal(3, *task.model.shape))
        update, frozen = Update(x0, np.array([1.0, 0.0, 1.0]), Stream(4)), build("papa", task).base
        nets, noise, pairs = Networks(method.network, frozen, frozen), method.noise(update), method.pairs(update)
        losses = papa_gradient(nets, method.alphas_cumprod, x0, noise, pairs, chunk, Cost())
        found.append((losses, torch.cat([p.grad.flatten() for p in method.trained.values()])))
    for losses, gradient in found[1:]:
        assert losses == pytest.approx(found[0][0], abs=1e-5)
        torch.testing.assert_close(gradient, found[0][1], atol=1e-5 * float(found[0][1].abs().max()), rtol=1e-3)


def test_gradient_checkpointing_changes_memory_not_the_gradient(task: TextToImage) -> None:
    samples = []
    for checkpointing in (False, True):
        method = build("papa", task, gradient_checkpointing=checkpointing)
        assert any(getattr(m, "gradient_checkpointing", False) for m in method.network.modules()) is checkpointing
        played(method, task)
        samples.append(method.sample(2))
    torch.testing.assert_close(samples[0], samples[1], atol=1e-4, rtol=1e-4)
