"""Pairs of what was liked and what was not, and the loss of Diffusion-DPO, from denoising errors.

    m = ||eps - eps_theta(x_t, t)||^2 - ||eps - eps_ref(x_t, t)||^2       for each item of a pair
    L = -log sigma( -beta T omega(lambda_t) (m_preferred - m_rejected) )

Both items of a pair have the same timestep and the same noise. omega is constant, as in Diffusion-DPO's experiments,
and ||.||^2 is the mean over the entries of a latent; `strength` is beta T omega of that mean. The mean over pairs is
taken outside of the log-sigmoid. PPD has a person in the condition of eps_theta, and none in that of eps_ref.

Source: Wallace et al. 2023, "Diffusion Model Alignment Using Direct Preference Optimization" (arXiv 2311.12908),
equation 14; "Personalized Preference Fine-tuning of Diffusion Models" (arXiv 2501.06655), equation of the method.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from papa.rng import Stream


def preference_margin(model: Tensor, reference: Tensor) -> Tensor:
    """m_rejected - m_preferred of each pair: positive where the model has learned the preference.

    Args:    model, reference: (2, n) denoising errors of the preferred items (row 0) and the rejected ones (row 1).
    Returns: (n,), in units of the squared error.
    """
    gain = model - reference
    return gain[1] - gain[0]


def dpo_loss(model: Tensor, reference: Tensor, strength: float) -> Tensor:
    """The loss of each pair, in nats; log 2 where the model is the reference.

    Args:    model, reference: as in `preference_margin`. strength: beta T omega, above 0.
    Returns: (n,).
    """
    return torch.nn.functional.softplus(-strength * preference_margin(model, reference))


def matched(preference: np.ndarray, stream: Stream) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a liked item (s > 1/2) and a disliked one, as many as the larger class has items.

    Each item of the larger class stands in one pair; those of the other class are dealt out evenly, at random.

    Returns: the liked and the disliked items' indices, (pairs,) each; none where a class is empty.
    """
    classes = np.flatnonzero(preference > 0.5), np.flatnonzero(preference <= 0.5)
    if not all(map(len, classes)):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    pairs, rng = max(map(len, classes)), stream.generator()
    liked, disliked = (
        np.concatenate([rng.permutation(of) for _ in range(-(-pairs // len(of)))])[:pairs] for of in classes
    )
    return liked, disliked
