"""Bayesian logistic regression with a Gaussian prior on the weights, by Laplace's approximation in the dual.

    f = Phi w + b,  w ~ N(0, tau^2 / F I),  b ~ N(0, tau_b^2);   p(like | f) = sigma(f)

With n answers and many features everything is n x n: f has the kernel K = tau^2 Phi Phi^T / F + tau_b^2 (a mean over
the F features), its mode is found by Newton's method, and the posterior of f at new points is normal with closed mean
and variance. tau is the one of a few values with the largest evidence. Answers in [0, 1] are soft labels.

Source: Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", algorithms 3.1 and 3.2; the predicted
probability by MacKay 1992, "The evidence framework applied to classification networks", equation 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

TAUS = (0.1, 0.3, 1.0, 3.0, 10.0)
TAU_BIAS = 2.0
STEPS, CLOSE = 100, 1e-9


@dataclass(frozen=True)
class Posterior:
    """The posterior of f.

    Attributes:
        phi: (n, F) features of the labelled items.
        tau: prior scale of the weights.
        residual: (n,) y - sigma(f) at the mode.
        root: (n,) square roots of sigma'(f).
        factor: (n, n) Cholesky factor of I + root K root.
        evidence: log marginal likelihood, nats.
    """

    phi: Tensor
    tau: float
    residual: Tensor
    root: Tensor
    factor: Tensor
    evidence: float

    def at(self, phi: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of f at (m, F) features: (m,) each, differentiable."""
        cross, solved = self._solved(phi)
        own = self.tau**2 * phi.square().mean(1) + TAU_BIAS**2
        return cross @ self.residual, (own - solved.square().sum(0)).clamp(min=0)

    def joint(self, phi: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (m,) and covariance (m, m) of f at (m, F) features."""
        cross, solved = self._solved(phi)
        return cross @ self.residual, kernel(phi, phi, self.tau) - solved.mT @ solved

    def _solved(self, phi: Tensor) -> tuple[Tensor, Tensor]:
        cross = kernel(phi, self.phi, self.tau)
        return cross, torch.linalg.solve_triangular(self.factor, (self.root * cross).mT, upper=False)

    def probability(self, phi: Tensor) -> Tensor:
        """(m,) predictive probability of a positive label."""
        return self.probability_of(*self.at(phi))

    @staticmethod
    def probability_of(mean: Tensor, variance: Tensor) -> Tensor:
        """The mean of sigma(f) for a normal f."""
        return torch.sigmoid(mean / (1 + math.pi / 8 * variance).sqrt())


def kernel(one: Tensor, other: Tensor, tau: float) -> Tensor:
    """tau^2 times the mean product of features, and the bias's variance."""
    return tau**2 / one.shape[1] * one @ other.mT + TAU_BIAS**2


def fitted(phi: Tensor, preference: Tensor) -> Posterior:
    """The posterior with the tau of the largest evidence. phi: (n, F). preference: (n,) in [0, 1]."""
    return max((_fitted(phi, preference, tau) for tau in TAUS), key=lambda found: found.evidence)


def _fitted(phi: Tensor, y: Tensor, tau: float) -> Posterior:
    """Newton's method for the mode, without an inverse of the kernel."""
    k, f, objective = kernel(phi, phi, tau), torch.zeros_like(y), -math.inf
    eye = torch.eye(len(y), dtype=y.dtype)
    for _ in range(STEPS):
        p = torch.sigmoid(f)
        root = (p * (1 - p)).sqrt()
        factor = torch.linalg.cholesky(eye + root[:, None] * k * root)
        b = root.square() * f + y - p
        a = b - root * torch.cholesky_solve((root * (k @ b))[:, None], factor)[:, 0]
        f = k @ a
        before, objective = objective, float(-a @ f / 2 + (y * f - torch.nn.functional.softplus(f)).sum())
        if objective - before < CLOSE:
            break
    p = torch.sigmoid(f)
    root = (p * (1 - p)).sqrt()
    factor = torch.linalg.cholesky(eye + root[:, None] * k * root)
    return Posterior(phi, tau, y - p, root, factor, objective - float(factor.diagonal().log().sum()))
