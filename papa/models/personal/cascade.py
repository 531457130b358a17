"""Stable Cascade's Stage C, the model of the PPD paper, conditioned on a user.

Stage C denoises image embeddings of 16 channels under a cosine schedule over a ratio in [0, 1] instead of timesteps;
diffusers has it as `StableCascadeUNet` with `StableCascadePriorPipeline` and `DDPMWuerstchenScheduler`. It predicts
the noise, so the loss of `papa.methods.ppd` applies unchanged: `StageC` calls it as that training calls a UNet, and
`ratio_schedule` is its schedule at T equally spaced ratios.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
from diffusers import DDPMWuerstchenScheduler, StableCascadePriorPipeline
from torch import Tensor, nn

from papa.errors import ArtefactError, ModelError
from papa.models.personal.attention import user_conditioning, user_state

TOTAL = 1000
"""Discrete ratios of the training."""


def load_prior(folder: str | Path, dtype: torch.dtype = torch.float32) -> StableCascadePriorPipeline:
    """A folder in the layout of `StableCascadePriorPipeline.save_pretrained`, frozen."""
    try:
        pipe: Any = StableCascadePriorPipeline.from_pretrained(folder, local_files_only=True).to(dtype)
    except (OSError, ValueError, TypeError) as error:
        raise ArtefactError(
            f"{folder} cannot be loaded as a Stable Cascade prior ({error}); it needs the folders that "
            "StableCascadePriorPipeline.save_pretrained writes."
        ) from error
    if not isinstance(pipe.scheduler, DDPMWuerstchenScheduler):
        raise ModelError(f"this prior has a {type(pipe.scheduler).__name__}; Stage C has a DDPMWuerstchenScheduler.")
    pipe.prior.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def ratio(t: Tensor) -> Tensor:
    """The ratio of a timestep in {0, ..., TOTAL - 1}: the middle of its interval."""
    return (t.float() + 0.5) / TOTAL


def ratio_schedule(scheduler: DDPMWuerstchenScheduler) -> Tensor:
    """(TOTAL,) float64 alpha-bar at the ratios of the timesteps, as `add_noise` has it."""
    return scheduler._alpha_cumprod(ratio(torch.arange(TOTAL)), torch.device("cpu")).double()


def prompt_tokens(pipe: StableCascadePriorPipeline, prompt: str) -> Tensor:
    """(1, 1 + tokens, width): the pooled embedding of a prompt, then its tokens."""
    with torch.no_grad():
        tokens, pooled, _, _ = pipe.encode_prompt(
            device=pipe.device, batch_size=1, num_images_per_prompt=1, do_classifier_free_guidance=False, prompt=prompt
        )
    return torch.cat([cast(Tensor, pooled), cast(Tensor, tokens)], 1)


class StageC(nn.Module):
    """Stage C called like a prompted UNet: (x_t, t, prompt) -> an object whose `sample` is the noise.

    prompt: (n, 1 + tokens, width) of `prompt_tokens`. Image prompts are zero, as the pipeline has them without one.
    """

    def __init__(self, prior: nn.Module) -> None:
        super().__init__()
        self.prior: Any = prior

    def forward(self, x_t: Tensor, t: Tensor, prompt: Tensor) -> SimpleNamespace:
        image = x_t.new_zeros(len(x_t), 1, self.prior.config.clip_image_in_channels)
        dtype = next(self.prior.parameters()).dtype
        given = {"clip_text_pooled": prompt[:, :1], "clip_text": prompt[:, 1:], "clip_img": image}
        eps = self.prior(x_t.to(dtype), ratio(t).to(dtype), **{name: part.to(dtype) for name, part in given.items()})
        return SimpleNamespace(sample=eps.sample.to(x_t.dtype))


@contextmanager
def conditioned_on(pipe: StableCascadePriorPipeline, person: Tensor, guided: bool = True) -> Iterator[None]:
    """A block in which the pipeline is conditioned on a user.

    Args:
        pipe: the prior.
        person: (tokens, width) of the user.
        guided: whether `guidance_scale` is above 1; then the second half of the batch is unconditional.
    """
    state = user_state(pipe.prior)
    if state is None:
        raise ModelError("this prior has no adapter to condition it on a user; attach one first.")
    if not guided:
        with user_conditioning(state, person[None]):
            yield
        return

    def halves(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        n = len(kwargs["sample"]) // 2
        both = person[None].expand(n, -1, -1)
        state.tokens = torch.cat([both, torch.zeros_like(both)])

    hook = cast(nn.Module, pipe.prior).register_forward_pre_hook(halves, with_kwargs=True)
    try:
        with user_conditioning(state, None):
            yield
    finally:
        hook.remove()
