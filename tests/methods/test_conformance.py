"""What every method must keep to on every task that it can run on: ask, tell, sample."""

from __future__ import annotations

import pytest
import torch
from support.every_method import LABELS, PAIRS, K, build, everywhere, rounds, task_of, user_of
from support.playing import rounds_of
from torch import Tensor

from papa.benchmark.config import Measures
from papa.benchmark.tasks import TASKS
from papa.diffusion.denoiser import Cost
from papa.errors import PapaError
from papa.methods import METHODS
from papa.rng import Stream


def test_every_method_runs_somewhere_and_some_need_a_network() -> None:
    assert {name for name, _ in PAIRS} == set(METHODS)
    assert {task for _, task in PAIRS} == set(TASKS)
    assert ("papa", "gmm2d") not in PAIRS and ("fkc", "gmm2d") in PAIRS


def test_a_method_that_needs_a_network_says_which_do_not() -> None:
    with pytest.raises(PapaError, match=r"no network.*best_of_n"):
        build("papa", "gmm2d")


# ---------------------------------------------------------------- ask, tell, sample


@everywhere
def test_ask_gives_k_items_of_the_tasks_shape(name: str, task: str) -> None:
    method = build(name, task)
    for k in (1, 3, K):
        query = method.ask(k)
        assert query.latents.shape == (k, *task_of(task).model.shape)
        assert query.latents.dtype == task_of(task).model.dtype and torch.isfinite(query.latents).all()
        assert query.kind in ("binary", "graded", "pairs")
        assert query.condition is None or len(query.condition) == k


@everywhere
def test_sample_gives_n_items_at_any_time(name: str, task: str) -> None:
    method = build(name, task)
    assert method.sample(3).shape == (3, *task_of(task).model.shape)
    for happened in rounds_of(method, user_of(task), Stream(0), LABELS, K):
        assert happened.question.query.latents.shape[0] <= K
        for n in (1, 7):
            samples = method.sample(n)
            assert samples.shape == (n, *task_of(task).model.shape) and torch.isfinite(samples).all()


@everywhere
def test_sampling_changes_nothing(name: str, task: str) -> None:
    watched, plain = build(name, task), build(name, task)
    for _ in range(2):
        first = watched.sample(5)
        assert torch.equal(first, watched.sample(5))
        asked, alone = watched.ask(K), plain.ask(K)
        assert torch.equal(asked.latents, alone.latents)
        assert torch.equal(first, watched.sample(5)), "asking changes nothing that was learned either"
        assert torch.equal(asked.latents, watched.ask(K).latents)
        told = user_of(task).answer(task_of(task).model.decode(asked.latents), asked.kind, Stream(0))
        watched.tell(asked, told)
        plain.tell(alone, told)
    assert torch.equal(watched.sample(5), plain.sample(5))


@everywhere
def test_what_is_shown_differs_from_round_to_round(name: str, task: str) -> None:
    happened = rounds(build(name, task), task)
    assert not torch.equal(happened[0].question.query.latents, happened[1].question.query.latents)


@everywhere
def test_the_label_budget_is_kept_to_the_last_short_round(name: str, task: str) -> None:
    method = build(name, task)
    assert method.settings.labels == LABELS and method.settings.rounds == 3
    sizes = [len(happened.feedback.preference) for happened in rounds(method, task)]
    assert sizes == [2, 2, 1] and method.round == 3


@everywhere
def test_diagnostics_are_numbers_and_evaluations_are_counted(name: str, task: str) -> None:
    method = build(name, task)
    rounds(method, task)
    assert all(isinstance(value, float) for value in method.diagnostics().values())
    assert method.cost.forward > 0
    before = method.cost.forward
    method.sample(4)
    assert method.cost.forward >= before + 4 * 3  # three steps for each sample, shared base samples included


@everywhere
def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(name: str, task: str) -> None:
    def run(seed: int) -> tuple[list[Tensor], Tensor, Cost]:
        method = build(name, task, seed)
        return [h.question.query.latents for h in rounds(method, task)], method.sample(6), method.cost

    (shown, samples, cost), (again, same, cost_again), (other, _, _) = run(0), run(0), run(1)
    assert all(map(torch.equal, shown, again)) and torch.equal(samples, same) and cost == cost_again
    assert not torch.equal(shown[0], other[0])


@everywhere
def test_the_first_samples_do_not_depend_on_what_ran_before(name: str, task: str) -> None:
    alone = build(name, task)
    rounds(alone, task)
    torch.manual_seed(5)
    after_others = build(name, task)
    build(name, task, seed=3).ask(2)
    torch.rand(3)
    rounds(after_others, task)
    assert torch.equal(alone.sample(4), after_others.sample(4))


# ---------------------------------------------------------------- final samples


@everywhere
def test_final_samples_never_want_more_candidates_than_the_pool_holds(name: str, task: str) -> None:
    method = build(name, task)
    assert method.settings.candidates >= 1
    count = Measures(final=40, base=64).final_of(method.settings.candidates)
    assert 1 <= count <= 40 and method.sample(count).shape[0] == count


def test_best_of_16_draws_as_many_as_there_are_candidates_for() -> None:
    assert Measures(final=40, base=64).final_of(build("best_of_n", "gmm2d", n=16).settings.candidates) == 4
