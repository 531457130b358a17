"""Base samples of a model from a stream. Row i does not depend on the number of samples."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral
from papa.errors import SettingsError
from papa.models.interface import Model
from papa.models.settings import BLOCK
from papa.rng import Stream


def block_of_base(model: Model, stream: Stream, index: int, cost: Cost, n: int | None = None) -> Tensor:
    """Base latents `index * BLOCK` to `(index + 1) * BLOCK`, or the first n of them.

    Block 0 uses the noise of the final samples of every method, so sample i of the base and sample
    i of an aligned model start from the same noise.
    """
    # Whole forward passes, so that the rows have the same bits however many there are.
    rows = BLOCK if n is None else min(BLOCK, -(-n // model.chunk) * model.chunk)
    address = stream.at("sample") if index == 0 else stream.at("sample", "more", block=index)

    def noise(step: int) -> Tensor:
        dtype = np.float64 if model.dtype == torch.float64 else np.float32
        return torch.from_numpy(address.at(step=step).normal(rows, *model.shape, dtype=dtype)).to(model.device)

    return euler_ancestral(model.denoiser(cost), model.sigmas(), noise)


def base_latents(model: Model, stream: Stream, n: int, cost: Cost) -> Tensor:
    """The first n base latents."""
    blocks = [block_of_base(model, stream, i, cost, n - i * BLOCK) for i in range(-(-n // BLOCK))]
    return torch.cat(blocks)[:n]


def extended(latents: Tensor, model: Model, stream: Stream, n: int) -> Tensor:
    """The first n base latents, given some of them; only whole blocks can be added."""
    while len(latents) < n:
        if len(latents) % BLOCK:
            raise SettingsError(
                f"{n} base samples are needed and measures.base is {len(latents)}; set it to {n} or more, or to a "
                f"multiple of {BLOCK}."
            )
        more = block_of_base(model, stream, len(latents) // BLOCK, Cost())
        latents = torch.cat([latents, more])
    return latents[:n]
