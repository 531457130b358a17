"""The diversity term of the FKC draft: a reward for distance from the other particles and from past ones."""

from __future__ import annotations

import torch
from torch import Tensor


def diversity(z: Tensor, history: Tensor | None = None) -> Tensor:
    """L_div(z_i) = (1/d) (1/(n-1)) sum over j != i of ||z_i - z_j||^2.

    The others are constants in the gradient. The term depends on the other particles, so it is a heuristic outside the
    Feynman-Kac theory. Source: the FKC draft, "Diversity Loss".

    Args:
        z: (P, N, ...) populations of particles; distances are within a population.
        history: (M, ...) past particles that count among the others, or None.

    Returns:
        (P, N), mean squared distance per dimension.
    """
    flat = z.flatten(2)
    others = flat.detach()
    if history is not None and len(history):
        past = history.flatten(1).expand(len(z), -1, -1)
        others = torch.cat([others, past], dim=1)
    squared = flat.square().sum(-1, keepdim=True) + others.square().sum(-1)[:, None] - 2 * flat @ others.mT
    return squared.sum(-1) / (flat.shape[-1] * (others.shape[1] - 1))
