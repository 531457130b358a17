"""A Gaussian mixture under the VE process: density, score, denoiser and tilts in closed form.

    p(x)       = sum_k w_k N(x; m_k, S_k)
    q_sigma(y) = sum_k w_k N(y; m_k, C_k),   C_k = S_k + sigma^2 I       (y = x + sigma eps)

K components in d dimensions. Everything is float64: it is the reference that samplers are compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from papa.diffusion.denoiser import Cost, Denoiser
from papa.diffusion.schedule import log_spaced_sigmas
from papa.models.interface import Model
from papa.rng import Stream


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture.

    Args:
        weights: (K,) positive; scaled to sum 1.
        means: (K, d).
        covariances: (K, d, d) symmetric positive definite.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __post_init__(self) -> None:
        for name in ("weights", "means", "covariances"):
            object.__setattr__(self, name, getattr(self, name).double())
        k, d = self.means.shape
        if self.weights.shape != (k,) or self.covariances.shape != (k, d, d):
            raise ValueError(
                f"a mixture of {k} components in {d} dimensions needs weights of shape {(k,)} and covariances of "
                f"shape {(k, d, d)}, not {tuple(self.weights.shape)} and {tuple(self.covariances.shape)}"
            )
        if not (self.weights > 0).all():
            raise ValueError(f"every weight of a mixture must be positive: {self.weights.tolist()}")
        if not _is_positive_definite(self.covariances):
            raise ValueError("every covariance of a mixture must be symmetric positive definite")
        object.__setattr__(self, "weights", self.weights / self.weights.sum())

    def to(self, device: str | torch.device) -> Mixture:
        return Mixture(self.weights.to(device), self.means.to(device), self.covariances.to(device))

    @property
    def mean(self) -> Tensor:
        return self.weights @ self.means

    @property
    def covariance(self) -> Tensor:
        """(d, d): within the components plus between them."""
        centred = self.means - self.mean
        within = (self.weights[:, None, None] * self.covariances).sum(0)
        return within + (self.weights[:, None] * centred).mT @ centred

    @property
    def spread(self) -> float:
        """sigma_d: root mean variance of a coordinate."""
        return self.covariance.diagonal().mean().sqrt().item()

    def sample(self, n: int, stream: Stream) -> Tensor:
        """(n, d) independent draws; row i does not depend on n."""
        uniforms = torch.from_numpy(stream.at("component").uniform(n))
        edges = self.weights.cumsum(0)[:-1].cpu()  # the last edge is 1 up to rounding, so it is left out
        component = torch.searchsorted(edges, uniforms, right=True).to(self.means.device)
        normal = torch.from_numpy(stream.at("point").normal(n, self.means.shape[1], dtype=np.float64))
        factor = torch.linalg.cholesky(self.covariances)[component]
        return self.means[component] + (factor @ normal.to(self.means.device)[:, :, None])[:, :, 0]

    def log_density(self, y: Tensor, sigma: float = 0.0) -> Tensor:
        """log q_sigma at points y (n, d): (n,) nats, differentiable. sigma = 0 is the data's density."""
        return self._log_joint(y, sigma)[0].logsumexp(0)

    def log_responsibilities(self, y: Tensor, sigma: float = 0.0) -> Tensor:
        """log P(component | y): (n, K), the posterior of the component that y came from."""
        return self._log_joint(y, sigma)[0].log_softmax(0).mT

    def score(self, y: Tensor, sigma: float = 0.0) -> Tensor:
        """grad log q_sigma at y: (n, d) = sum_k r_k(y) C_k^-1 (m_k - y)."""
        log_joint, pulls = self._log_joint(y, sigma)
        return _averaged(-pulls, log_joint)

    def denoise(self, y: Tensor, sigma: float) -> Tensor:
        """E[x0 | y]: (n, d). Tweedie's y + sigma^2 score, summed as sum_k r_k (m_k + S_k C_k^-1 (y - m_k)),
        in which nothing of size sigma cancels."""
        log_joint, pulls = self._log_joint(y, sigma)
        return _averaged(self.means[:, :, None] + self.covariances @ pulls, log_joint)

    def _log_joint(self, y: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """log of w_k N(y; m_k, C_k), (K, n), and C_k^-1 (y - m_k), (K, d, n): points last, for speed."""
        d = self.means.shape[1]
        noisy = self.covariances + sigma**2 * torch.eye(d, dtype=torch.float64, device=self.means.device)
        difference = y.double().mT - self.means[:, :, None]
        pulls = torch.linalg.inv(noisy) @ difference
        log_volume = torch.logdet(noisy) + d * math.log(2 * math.pi)
        square = (difference * pulls).sum(1)
        return (self.weights.log() - log_volume / 2)[:, None] - square / 2, pulls

    def tilt(self, slope: Tensor, curvature: float = 0.0, centre: Tensor | None = None) -> tuple[Mixture, float]:
        """p(x) exp(u(x)) / Z for u(x) = <slope, x> - curvature/2 |x - centre|^2.

        Each component stays Gaussian, and its weight takes up its own normalizing constant:

            S'^-1 = S^-1 + curvature I,   S'^-1 m' = S^-1 m + slope + curvature centre
            log Z_k = (log|S'| - log|S| + <m', S'^-1 m'> - <m, S^-1 m> - curvature |centre|^2) / 2

        Args:
            slope: (d,); an inverse temperature beta multiplies slope and curvature.
            curvature: of any sign.
            centre: (d,); None is the origin.

        Returns:
            The tilted mixture and log Z in nats.

        Raises:
            ValueError: where a tilted covariance is not positive definite (Z is infinite).
        """
        slope = slope.to(self.means)
        centre = torch.zeros_like(slope) if centre is None else centre.to(slope)
        precision = torch.linalg.inv(self.covariances)
        tilted_precision = precision + curvature * torch.eye(len(slope), dtype=torch.float64, device=slope.device)
        if not _is_positive_definite(tilted_precision):
            raise ValueError(
                f"the tilt has no finite normalizing constant: with curvature {curvature:g} the reward grows faster "
                "than the density of a component falls. Raise the curvature towards 0, or lower beta."
            )
        covariances = torch.linalg.inv(tilted_precision)
        covariances = (covariances + covariances.mT) / 2
        pull = torch.einsum("kij,kj->ki", precision, self.means)
        pull_tilted = pull + slope + curvature * centre
        means = torch.einsum("kij,kj->ki", covariances, pull_tilted)
        log_z = (torch.logdet(covariances) - torch.logdet(self.covariances)) / 2
        log_z = log_z + ((means * pull_tilted).sum(1) - (self.means * pull).sum(1)) / 2
        log_z = log_z - curvature * centre.square().sum() / 2
        return self._assembled(log_z, means, covariances)

    def reweigh(self, log_factors: Tensor) -> tuple[Mixture, float]:
        """The mixture with weight k multiplied by exp(log_factors_k), and the log of the sum of the new weights.

        It is the tilt of p by the function log sum_k r_k(x) exp(log_factors_k), r_k = P(k | x).
        """
        return self._assembled(log_factors.to(self.means), self.means, self.covariances)

    def _assembled(self, log_z: Tensor, means: Tensor, covariances: Tensor) -> tuple[Mixture, float]:
        log_weights = self.weights.log() + log_z
        return Mixture(log_weights.softmax(0), means, covariances), log_weights.logsumexp(0).item()

    def shares(self, x: Tensor) -> Tensor:
        """(K,) share of each component among samples x (n, d): its mean posterior responsibility.

        Well-posed however much components overlap.
        """
        return self.log_responsibilities(x).exp().mean(0)

    def errors(self, x: Tensor) -> dict[str, float]:
        """Largest absolute differences between equally weighted samples x (n, d) and this mixture.

        Returns:
            share (of a component), mean (units of the data), covariance (data squared).
        """
        x = x.double().to(self.means.device)
        return {
            "share": (self.shares(x) - self.weights).abs().max().item(),
            "mean": (x.mean(0) - self.mean).abs().max().item(),
            "covariance": (torch.cov(x.mT) - self.covariance).abs().max().item(),
        }


def _averaged(vectors: Tensor, log_joint: Tensor) -> Tensor:
    """Vectors of each component (K, d, n), averaged over the posterior of the components: (n, d)."""
    return (log_joint.softmax(0)[:, None] * vectors).sum(0).mT.contiguous()


def _is_positive_definite(matrices: Tensor) -> bool:
    symmetric = torch.allclose(matrices, matrices.mT, rtol=1e-9, atol=1e-12)
    return symmetric and bool((torch.linalg.cholesky_ex(matrices).info == 0).all())


class MixtureModel(Model):
    """A mixture as a diffusion model with an exact score: the golden reference of every sampler.

    Latents are the points themselves, float64; noise levels are log-spaced, then 0.
    """

    def __init__(
        self, mixture: Mixture, steps: int = 100, sigma_max: float = 20.0, sigma_min: float = 0.01, device: str = "cpu"
    ) -> None:
        self.mixture = mixture.to(device)
        self.device, self.dtype, self.steps = device, torch.float64, steps
        self.shape, self.spread = (mixture.means.shape[1],), self.mixture.spread
        self._range = (sigma_max, sigma_min)

    def sigmas(self) -> Tensor:
        return log_spaced_sigmas(*self._range, self.steps)

    def denoiser(self, cost: Cost, network: nn.Module | None = None) -> Denoiser:
        if network is not None:
            self.network()  # raises: there is none to replace

        def denoise(y: Tensor, sigma: float) -> Tensor:
            cost.forward += len(y)
            if y.requires_grad:
                cost.backward += len(y)
            return self.mixture.denoise(y, sigma)

        return denoise

    def decode(self, latents: Tensor) -> Tensor:
        return latents
