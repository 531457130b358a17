"""Reward models: the Bayesian head against scikit-learn, its features and cost; kernel regression in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct
from support import tiny

from papa.benchmark.tasks.digits.task import Digits
from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.diffusion.denoiser import Cost
from papa.errors import ModelError
from papa.feedback import Feedback
from papa.methods import declaration
from papa.methods._laplace import TAU_BIAS, TAUS, _fitted, fitted
from papa.methods._reward_models import FeatureRewardModel, KernelRewardModel, SurrogateContext
from papa.methods._surrogate import SurrogateSettings
from papa.rng import Stream

N, F = 14, 6
FEATURES = SurrogateSettings(kind="features", reference=16)


def answers(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    phi = torch.from_numpy(Stream(seed).normal(N, F, dtype=np.float64))
    return phi, (phi[:, 0] + 0.5 * phi[:, 1] > 0).double()


def surrogate(digits: Digits, cost: Cost | None = None) -> FeatureRewardModel:
    base = torch.from_numpy(Stream(9).normal(64, *digits.model.shape))
    counted = cost or Cost()
    return FeatureRewardModel(FEATURES, SurrogateContext(digits.model, Stream(1), lambda n: base[:n], lambda: counted))


@pytest.mark.parametrize("tau", TAUS)
def test_the_posterior_is_that_of_a_library(tau: float) -> None:
    phi, y = answers()
    ours = _fitted(phi, y, tau)
    scale = tau**2 / F
    kernel = ConstantKernel(scale, "fixed") * DotProduct(TAU_BIAS / scale**0.5, "fixed")
    theirs = GaussianProcessClassifier(kernel, optimizer=None).fit(phi.numpy(), y.numpy().astype(int))
    assert ours.evidence == pytest.approx(theirs.log_marginal_likelihood_value_, rel=1e-5)
    new = torch.from_numpy(Stream(5).normal(7, F, dtype=np.float64))
    mean, variance = ours.at(new)
    inner: Any = theirs.base_estimator_
    cross = kernel(phi.numpy(), new.numpy())
    np.testing.assert_allclose(mean, cross.T @ (inner.y_train_ - inner.pi_), rtol=1e-4, atol=1e-6)
    solved = np.linalg.solve(inner.L_, inner.W_sr_[:, None] * cross)
    np.testing.assert_allclose(variance, kernel.diag(new.numpy()) - (solved**2).sum(0), rtol=1e-4, atol=1e-6)


def test_the_evidence_chooses_and_soft_answers_weigh_less() -> None:
    phi, y = answers()
    best = fitted(phi, y)
    assert best.evidence == max(_fitted(phi, y, tau).evidence for tau in TAUS)
    hard, soft = (_fitted(phi, of, 1.0).at(phi)[0].abs().mean() for of in (y, 0.25 + 0.5 * y))
    assert soft < hard
    undecided = _fitted(phi, torch.full_like(y, 0.5), 1.0)
    assert undecided.probability(phi).tolist() == pytest.approx([0.5] * N)


def test_features_are_those_of_each_item_alone_and_standardized_on_base_samples(digits: Digits) -> None:
    of = surrogate(digits)
    base = of.context.base(16)
    found = of.features(base)
    assert found.dtype == torch.float64 and found.mean(0).abs().max() < 1e-9
    varied = found.std(0) > 1e-6
    assert torch.allclose(found.std(0)[varied], torch.ones(int(varied.sum()), dtype=torch.float64))
    torch.testing.assert_close(of.features(base[3:5]), found[3:5], rtol=1e-3, atol=1e-3)


def test_the_cost_of_a_look_is_one_evaluation_for_each_level(digits: Digits) -> None:
    cost = Cost()
    of = surrogate(digits, cost)
    of.features(of.context.base(2))
    assert cost == Cost(forward=(16 + 2) * 2)
    of.features(of.context.base(3).requires_grad_(True))
    assert cost == Cost(forward=(16 + 5) * 2, backward=3 * 2)


def test_the_gradient_goes_through_the_network_and_nothing_is_known_before_an_answer(digits: Digits) -> None:
    of = surrogate(digits)
    x = of.context.base(6).clone().requires_grad_(True)
    assert of(x).tolist() == [0.5] * 6
    assert np.isnan(of.fit(x.detach(), np.full(6, np.nan), Stream(0)))
    error = of.fit(x.detach(), np.array([1.0, 0, 1, 0, np.nan, 1]), Stream(0))
    assert 0 < error < 0.25
    (gradient,) = torch.autograd.grad(of(x).sum(), x)
    assert gradient.isfinite().all() and gradient.abs().max() > 0


def test_a_model_without_a_network_is_refused(plane: Gmm2d) -> None:
    with pytest.raises(ModelError, match="kind: conv"):
        FeatureRewardModel(FEATURES, SurrogateContext(plane.model, Stream(0), lambda n: torch.zeros(n, 2), Cost))


def kernel_of(digits: Digits, bandwidth: float = 0.35) -> KernelRewardModel:
    settings = SurrogateSettings(kind="kernel", bandwidth=bandwidth)
    return KernelRewardModel(settings, SurrogateContext(digits.model, Stream(1), torch.zeros, Cost))


def test_kernel_regression_is_the_formula_and_has_a_gradient(digits: Digits) -> None:
    of, x = kernel_of(digits, 0.5), torch.from_numpy(Stream(2).normal(7, 2, 3))
    assert of(x).tolist() == [0.5] * 7  # before any label
    labels = np.array([1.0, 0.0, np.nan, 0.25, 1.0])
    error = of.fit(x[:5], labels, Stream(0))
    known = x[[0, 1, 3, 4]].flatten(1).double().numpy()
    s = labels[[0, 1, 3, 4]]
    pairs = [np.linalg.norm(known[i] - known[j]) for i in range(4) for j in range(i)]
    h = 0.5 * np.median(pairs)
    new = x[5:].flatten(1).double().numpy()
    weights = np.exp(-((new[:, None] - known) ** 2).sum(2) / (2 * h**2))
    wanted = weights @ s / weights.sum(1)
    points = x[5:].clone().requires_grad_(True)
    found = of(points)
    np.testing.assert_allclose(found.detach(), wanted, rtol=1e-5)
    (gradient,) = torch.autograd.grad(found.sum(), points)
    step = torch.zeros_like(x[5:])
    step[0, 1, 2] = 1e-2
    slope = (of(x[5:] + step) - of(x[5:] - step)).sum() / 2e-2
    assert gradient[0, 1, 2].item() == pytest.approx(slope.item(), rel=2e-2)
    assert 0 < error < 0.25 and np.isnan(kernel_of(digits).fit(x, np.full(7, np.nan), Stream(0)))


def test_kernel_regression_of_equal_or_single_labels(digits: Digits) -> None:
    x = torch.ones(3, 1, 8, 8)
    for labels in ([1.0, 0.0, 1.0], [1.0, np.nan, np.nan]):
        of = kernel_of(digits)
        of.fit(x, np.array(labels), Stream(0))
        torch.testing.assert_close(of(x), torch.full((3,), float(np.nanmean(labels))))


@pytest.mark.parametrize("kind", ["features", "kernel"])
@pytest.mark.parametrize("name", ["best_of_n", "accept", "reward_model", "fkc", "reward_guidance", "seiko"])
def test_every_method_with_a_surrogate_takes_it(digits: Digits, name: str, kind: str) -> None:
    settings = tiny.small(declaration(name).settings, surrogate={"kind": kind, "reference": 16})
    base = torch.from_numpy(Stream(9).normal(64, *digits.model.shape))
    method = declaration(name).method(settings, digits.model, Stream(0), lambda n: base[:n])
    for liked in ([1.0, 0.0], [0.0, 1.0]):
        method.tell(method.ask(2), Feedback(np.array(liked), np.array(liked)))
    assert method.sample(3).isfinite().all()
