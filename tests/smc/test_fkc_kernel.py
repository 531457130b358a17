"""The particles of the Feynman-Kac corrector on one Gaussian: how they move, separate and are resampled."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.tiny import small
from torch import Tensor

from papa.benchmark.tasks.gmm2d.task import Gmm2d
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.diffusion.schedule import log_spaced_sigmas
from papa.feedback import Feedback, Query
from papa.methods._tilted import distinct_first
from papa.methods.fkc import Fkc, FkcSettings
from papa.rng import Stream
from papa.smc import fkc as kernel
from papa.smc.fkc import FkcOptions, Particles, diversity, fkc

P, N, STEPS = 2, 24, 12
SIGMAS = log_spaced_sigmas(10, 0.02, STEPS)
SLOPE = torch.tensor([2.0, -1.0], dtype=torch.float64)
FORMS = {
    "exact": FkcOptions(weights="exact"),
    "exact-through": FkcOptions(weights="exact", gradient="through"),
    "continuous-through": FkcOptions(weights="continuous", gradient="through"),
    "continuous-state": FkcOptions(weights="continuous", reward_on="state"),
}
forms = pytest.mark.parametrize("form", FORMS)


def denoise(y: Tensor, sigma: float) -> Tensor:
    """The exact posterior mean of data N(0, 1)."""
    return y / (1 + sigma**2)


def preference(z: Tensor) -> Tensor:
    return z @ SLOPE.to(z)


def uniforms(step: int) -> Tensor:
    return torch.from_numpy(Stream(0).at("resampling", step=step).uniform(P, N))


def noise(step: int) -> Tensor:
    return stream_noise(Stream(0), (P * N, 2), torch.float64)(step)


def draw(
    form: str,
    beta: float = 3.0,
    reward: Callable[[Tensor], Tensor] = preference,
    resample_last: bool = True,
    **options: Any,
) -> Particles:
    betas = torch.linspace(0, beta, STEPS + 1, dtype=torch.float64)
    changed = FORMS[form].model_copy(update=options)
    return fkc(denoise, reward, SIGMAS, betas, noise, uniforms, changed, resample_last=resample_last)


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Tensor]]:
    """What happens to the states, in turn: ("step", states after a step), ("take", states after resampling)."""
    seen: list[tuple[str, Tensor]] = []
    take, evaluate = kernel.Point.take, kernel.evaluate

    def watched_take(point: kernel.Point, ancestors: Tensor) -> kernel.Point:
        taken = take(point, ancestors)
        seen.append(("take", taken.y.clone()))
        return taken

    def watched_evaluate(*args) -> kernel.Point:
        point = evaluate(*args)
        seen.append(("step", point.y.clone()))
        return point

    monkeypatch.setattr(kernel.Point, "take", watched_take)
    monkeypatch.setattr(kernel, "evaluate", watched_evaluate)
    return seen


def twins(states: Tensor) -> list[tuple[int, int]]:
    """Neighbouring slots of one population that hold the same point."""
    return [(i, i + 1) for i in range(len(states) - 1) if (i + 1) % N and torch.equal(states[i], states[i + 1])]


@forms
def test_two_children_of_one_ancestor_differ_after_the_next_step(form: str, moves: list) -> None:
    draw(form, ess_threshold=1.0)
    separated = 0
    with_noise = moves[:-2]  # the last step, to sigma = 0, is deterministic, and the last resampling follows it
    assert [kind for kind, _ in moves[-2:]] == ["step", "take"]
    for (kind, states), (after_kind, after) in pairwise(with_noise):
        if kind == "take" and after_kind == "step":
            for i, j in twins(states):
                assert not torch.equal(after[i], after[j])
                separated += 1
    assert separated > STEPS


@forms
def test_resampling_moves_the_states_within_their_population(form: str, moves: list) -> None:
    draw(form, ess_threshold=1.0)
    taken = [(before, after) for (_, before), (kind, after) in pairwise(moves) if kind == "take"]
    assert len(taken) >= STEPS - 1
    for before, after in taken:
        for mine, theirs in zip(after.split(N), before.split(N), strict=True):
            assert set(map(tuple, mine.tolist())) <= set(map(tuple, theirs.tolist()))
    assert any(not torch.equal(before, after) for before, after in taken)


@forms
@pytest.mark.parametrize("scheme", ["systematic", "stratified"])
def test_unique_ancestors_fall_monotonically(form: str, scheme: str) -> None:
    result = draw(form, ess_threshold=1.0, resampling=scheme, guidance="none")
    unique = result.trace.unique_ancestors
    assert len(unique) == STEPS
    assert all(after <= before for before, after in pairwise(unique)) and unique[-1] < unique[0] <= N
    assert unique[-1] == sum(len(row.unique()) for row in result.ancestors) / P


def test_the_threshold_decides_when_to_resample() -> None:
    never, always = (draw("exact", ess_threshold=share).trace for share in (0.0, 1.0))
    assert sum(never.resampled) == 1 and sum(always.resampled) == STEPS
    trace = draw("exact", resampling="none").trace
    assert trace.unique_ancestors[:-1] == [N] * (STEPS - 1) and trace.resampled == [0.0] * (STEPS - 1) + [1.0]
    some = draw("exact", guidance="none")
    for low, due in zip(some.trace.lowest_ess[:-1], some.trace.resampled[:-1], strict=True):
        assert (low < N / 2) == (due > 0)
    assert 0 < sum(some.trace.resampled[:-1]) < STEPS - 1


def test_what_is_returned_is_unweighted_unless_asked_otherwise() -> None:
    assert not draw("exact").log_w.any()
    weighted = draw("exact", resample_last=False, ess_threshold=0.0)
    assert weighted.log_w.abs().min() > 0
    assert torch.equal(weighted.parents, torch.arange(N).expand(P, N))


def test_the_normalizing_constant_does_not_depend_on_where_weights_are_reset() -> None:
    """One reset at the end, or the weights carried to the end: the same log Z."""
    reset, carried = (draw("exact", ess_threshold=0.0, resample_last=last) for last in (True, False))
    assert torch.allclose(reset.log_z, carried.log_z)


def test_particles_of_one_parent_are_the_same_point() -> None:
    result = draw("exact", guidance="none")
    for p in range(P):
        states, parents = result.samples[p * N : (p + 1) * N], result.parents[p]
        for i in range(N):
            for j in range(i):
                assert torch.equal(states[i], states[j]) == bool(parents[i] == parents[j])


def test_a_slot_keeps_its_noise_when_the_population_grows() -> None:
    """At beta = 0 the particles of a smaller population are the first ones of the larger."""

    def run(n: int) -> Tensor:
        own = stream_noise(Stream(4), (n, 2), torch.float64)
        row = Stream(4).at("resampling").uniform(1, n)
        zero = torch.zeros(STEPS + 1, dtype=torch.float64)
        rows = torch.from_numpy(row)
        return fkc(denoise, preference, SIGMAS, zero, own, lambda _: rows, FORMS["exact"], resample_last=False).samples

    assert torch.equal(run(30)[:7], run(7))


@forms
@pytest.mark.parametrize("scheme", ["systematic", "stratified", "none"])
def test_beta_zero_is_the_base_sampler_bit_for_bit(form: str, scheme: str) -> None:
    result = draw(form, resampling=scheme, beta=0.0)
    assert torch.equal(result.samples, euler_ancestral(denoise, SIGMAS, noise))
    assert torch.equal(result.log_z, torch.zeros(P, dtype=torch.float64))


@forms
def test_a_positive_beta_is_not_the_base_sampler(form: str) -> None:
    assert not torch.equal(draw(form).samples, draw(form, beta=0.0).samples)
    assert preference(draw(form).samples).mean() > 2 + preference(draw(form, beta=0.0).samples).mean()


def test_the_leaf_gradient_on_the_clean_estimate_is_refused_in_the_continuous_form() -> None:
    with pytest.raises(ValidationError, match="gradient: through"):
        FkcSettings(weights="continuous")
    FkcSettings(weights="continuous", gradient="through")
    FkcSettings(weights="continuous", reward_on="state")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_is_an_error(value: float) -> None:
    with pytest.raises(ValueError, match="no number"):
        draw("exact", reward=lambda z: preference(z) * value)


def test_the_guidance_scale_of_the_leaf_gradient() -> None:
    assert FkcOptions().scale(1.5, 0.5) == pytest.approx(0.25 / 2.5)
    assert FkcOptions(guidance="full").scale(9.0, 1.0) == FkcOptions(gradient="through").scale(9.0, 1.0) == 1.0


@given(
    parents=st.lists(st.integers(0, 5), min_size=2, max_size=12),
    k=st.integers(1, 12),
    seed=st.integers(0, 50),
)
def test_distinct_particles_come_first_and_among_them_distinct_ancestors(parents: list[int], k: int, seed: int) -> None:
    # Parents 2m and 2m + 1 descend from ancestor m.
    of, k = torch.tensor(parents), min(k, len(parents))
    chosen = distinct_first(of, of // 2, k, Stream(seed))
    shown = of[chosen].tolist()
    assert len(chosen) == len(set(chosen.tolist())) == k
    assert len(set(shown)) == min(k, len(set(parents)))
    ancestors = {parent // 2 for parent in parents}
    assert len({parent // 2 for parent in shown}) == min(k, len(ancestors))


def test_every_distinct_particle_has_the_same_chance_to_be_shown() -> None:
    of = torch.arange(6)
    counts = np.zeros(6)
    for seed in range(1200):
        counts[distinct_first(of, of, 2, Stream(seed)).numpy()] += 1
    assert np.abs(counts - 400).max() < 4.5 * (1200 * (1 / 3) * (2 / 3)) ** 0.5


def test_ask_shows_distinct_points(plane: Gmm2d) -> None:
    """With a strong tilt many particles are twins; the shown ones are not, as far as there are enough."""
    settings = small(FkcSettings, reward="true", particles=16, guidance="none", beta_min=6.0, beta_max=6.0)
    method = Fkc(settings, plane.model, Stream(0), lambda n: torch.zeros(n, 2), lambda z: z[:, 0].double())
    shown = method.ask(4).latents
    population = method.population(1, False, Stream(0).at("ask", round=0)).samples
    assert len(population.unique(dim=0)) < len(population)
    assert len(shown.unique(dim=0)) == 4
    assert {tuple(row) for row in shown.tolist()} <= {tuple(row) for row in population.tolist()}


def test_beta_rises_and_gamma_falls_over_the_rounds(plane: Gmm2d) -> None:
    settings = FkcSettings(labels=10, per_round=2, diversity=True, particles=4, surrogate={"epochs": 1, "channels": 4})
    method = Fkc(settings, plane.model, Stream(0), lambda n: torch.zeros(n, 2, dtype=torch.float64))
    found = []
    for _ in range(5):
        query: Query = method.ask(2)
        method.tell(query, Feedback(np.array([0.0, 1.0]), np.array([0.0, 1.0])))
        found.append((method.diagnostics().get("beta"), method.diagnostics().get("gamma")))
    assert found[0] == (None, None)  # the first round shows the base model's items
    assert [b for b, _ in found[1:]] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert [g for _, g in found[1:]] == pytest.approx([0.05, 0.05 * 2 / 3, 0.05 / 3, 0.0])


def test_evaluations_are_counted(plane: Gmm2d) -> None:
    settings = small(FkcSettings, reward="true", gradient="through")
    method = Fkc(settings, plane.model, Stream(0), lambda n: torch.zeros(n, 2), lambda z: z[:, 0].double())
    method.ask(2)
    assert method.cost == Cost(forward=5 * 6, backward=5 * 6)


def test_diversity_by_hand() -> None:
    z = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [0.0, 4.0]]])
    assert diversity(z)[0].tolist() == pytest.approx([(4 + 16) / 4, (4 + 20) / 4, (16 + 20) / 4])
    past = torch.tensor([[1.0, 0.0]])
    assert diversity(z, past)[0, 0].item() == pytest.approx((4 + 16 + 1) / (2 * 3))


def test_diversity_sees_its_own_population_alone_and_pushes_one_particle_away_from_the_others() -> None:
    z = torch.from_numpy(Stream(0).normal(2, 5, 3, dtype=np.float64)).requires_grad_(True)
    together = diversity(z)
    assert torch.allclose(together[1], diversity(z[1:])[0])
    (gradient,) = torch.autograd.grad(together.sum(), z)
    expected = 2 * (5 * z - z.sum(1, keepdim=True)) / (3 * 4)  # the others are constants
    assert torch.allclose(gradient, expected)
