"""What every method must keep to on every task that it can run on. The registries decide who is tested."""

from __future__ import annotations

import copy
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
import tiny_sd15
import torch
import yaml
from torch import Tensor

from papa import cli, grid
from papa.align import final_count
from papa.collect import read_table
from papa.config import Measures
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.errors import PapaError
from papa.figures import plot
from papa.interaction import Feedback, Query, Round, feedback_from, interact, log_line
from papa.methods.interface import Method
from papa.registry import METHODS, TASKS, USERS, Entry
from papa.rng import Stream
from papa.tables import make
from papa.tasks.interface import Task
from papa.users.interface import User

LABELS, K = 5, 2  # the last round is a short one


@cache
def task_of(name: str) -> Task:
    # A random pipeline stands in for the weights that are not shipped.
    return TASKS[name].load()(tiny_sd15.settings() if name == "sd15" else TASKS[name].settings(steps=3))


@cache
def base_pool(task: str) -> Tensor:
    """64 base samples: what every method of this task and seed shares."""
    of = task_of(task)
    noise = stream_noise(Stream(0).at("sample"), (64, *of.shape), of.dtype)
    return euler_ancestral(of.denoiser(Cost()), of.sigmas(), noise)


@cache
def user_of(task: str) -> User:
    user = next(iter(USERS[task].values())).load()
    user.meet(task_of(task))
    return user


def build(name: str, task: str, seed: int = 0, **given: Any) -> Method[Any]:
    entry = METHODS[name]
    settings = tiny.small(entry.settings, **given)
    oracle = user_of(task).liking if settings.wants_oracle else None
    return entry.load()(settings, task_of(task), Stream(seed), lambda n: base_pool(task)[:n].clone(), oracle)


def needs_a_network(name: str, task: str) -> bool:
    try:
        build(name, task)
    except PapaError:
        return True
    return False


PAIRS = [(name, task) for name in METHODS for task in TASKS if not needs_a_network(name, task)]
everywhere = pytest.mark.parametrize(("name", "task"), PAIRS)


def rounds(method: Method[Any], task: str, log: list[dict[str, Any]] | None = None, user: Any = None) -> list[Round]:
    """A whole session."""
    whims = Stream(0).at("whims")
    return list(interact(method, user or user_of(task), task_of(task), whims, LABELS, K, log or []))


class Mute:
    """Answers nothing (share 1), or leaves items out at random."""

    def __init__(self, user: User, share: float) -> None:
        self.user, self.share = user, share

    def answer(self, images: Tensor, kind: Any, stream: Stream) -> Feedback:
        told = self.user.answer(images, kind, stream)
        silent = stream.at("silent").uniform(len(images)) < self.share
        return Feedback(np.where(silent, np.nan, told.liking), told.probability)


def test_every_method_runs_somewhere_and_some_need_a_network() -> None:
    assert {name for name, _ in PAIRS} == set(METHODS)
    assert {task for _, task in PAIRS} == set(TASKS)
    assert needs_a_network("papa", "gmm2d") and not needs_a_network("fkc", "gmm2d")


def test_a_method_that_needs_a_network_says_which_do_not() -> None:
    with pytest.raises(PapaError, match=r"no network.*best_of_n"):
        build("papa", "gmm2d")


# ---------------------------------------------------------------- ask, tell, sample


@everywhere
def test_ask_gives_k_items_of_the_tasks_shape(name: str, task: str) -> None:
    method = build(name, task)
    for k in (1, 3, K):
        query = method.ask(k)
        assert query.latents.shape == (k, *task_of(task).shape)
        assert query.latents.dtype == task_of(task).dtype and torch.isfinite(query.latents).all()
        assert query.kind in ("binary", "graded", "pairs")
        assert query.condition is None or len(query.condition) == k


@everywhere
def test_sample_gives_n_items_at_any_time(name: str, task: str) -> None:
    method = build(name, task)
    assert method.sample(3).shape == (3, *task_of(task).shape)
    for happened in interact(method, user_of(task), task_of(task), Stream(0), LABELS, K):
        assert happened.query.latents.shape[0] <= K
        for n in (1, 7):
            samples = method.sample(n)
            assert samples.shape == (n, *task_of(task).shape) and torch.isfinite(samples).all()


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
        told = user_of(task).answer(task_of(task).decode(asked.latents), asked.kind, Stream(0))
        watched.tell(asked, told)
        plain.tell(alone, told)
    assert torch.equal(watched.sample(5), plain.sample(5))


@everywhere
def test_what_is_shown_differs_from_round_to_round(name: str, task: str) -> None:
    happened = rounds(build(name, task), task)
    assert not torch.equal(happened[0].query.latents, happened[1].query.latents)


@everywhere
def test_the_label_budget_is_kept_to_the_last_short_round(name: str, task: str) -> None:
    method = build(name, task)
    assert method.settings.labels == LABELS and method.settings.rounds == 3
    sizes = [len(happened.feedback.liking) for happened in rounds(method, task)]
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
        return [h.query.latents for h in rounds(method, task)], method.sample(6), method.cost

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


# ---------------------------------------------------------------- what was not answered


@everywhere
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_missing_answers_are_survived(name: str, task: str, share: float) -> None:
    method = build(name, task)
    happened = rounds(method, task, user=Mute(user_of(task), share))
    missing = np.isnan(np.concatenate([h.feedback.liking for h in happened]))
    assert missing.any() and missing.all() == (share == 1.0)
    assert torch.isfinite(method.sample(4)).all()


@everywhere
def test_a_round_without_answers_between_others_is_survived(name: str, task: str) -> None:
    method = build(name, task)
    for h in range(3):
        query = method.ask(K)
        answer = np.full(K, np.nan) if h == 1 else np.array([1.0, 0.0])
        method.tell(query, Feedback(answer, np.array([0.9, 0.1])))
    assert torch.isfinite(method.sample(4)).all()


@everywhere
def test_graded_answers_are_survived(name: str, task: str) -> None:
    method = build(name, task)
    for _ in range(2):
        method.tell(method.ask(K), Feedback(np.array([0.3, 0.5]), np.array([0.3, 0.5])))
    assert torch.isfinite(method.sample(4)).all()


# ---------------------------------------------------------------- state and replay


def one_more(method: Method[Any], task: str) -> Tensor:
    """Another round, and samples."""
    query = method.ask(K)
    method.tell(query, user_of(task).answer(task_of(task).decode(query.latents), query.kind, Stream(0)))
    return method.sample(6)


@everywhere
def test_a_restored_method_samples_the_same_and_learns_on_the_same(name: str, task: str) -> None:
    method = build(name, task)
    rounds(method, task)
    state, samples = method.state(), method.sample(6)
    asked = method.ask(K).latents
    further = []
    for _ in range(2):  # twice from one state: the first restored method must not write into it
        restored = build(name, task)
        restored.restore(state)
        assert restored.round == method.round == 3
        assert torch.equal(restored.sample(6), samples)
        assert torch.equal(restored.ask(K).latents, asked)
        further.append(one_more(restored, task))
    assert torch.equal(*further)
    assert torch.equal(one_more(method, task), further[0])


@everywhere
def test_a_state_stays_what_it_was_when_the_method_learns_on(name: str, task: str) -> None:
    method = build(name, task)
    one_more(method, task)
    state = method.state()
    frozen = copy.deepcopy(state)
    one_more(method, task)
    first, second = build(name, task), build(name, task)
    first.restore(state)
    second.restore(frozen)
    assert torch.equal(first.sample(6), second.sample(6))


@everywhere
def test_replaying_the_log_gives_the_state_back(name: str, task: str) -> None:
    method = build(name, task)
    happened = rounds(method, task)
    log = [json.loads(json.dumps(log_line(h))) for h in happened]

    class Gone:
        def answer(self, *args: Any) -> Feedback:
            raise AssertionError("the user is asked again")

    replayed = build(name, task)
    again = rounds(replayed, task, log, Gone())
    assert all(torch.equal(a.query.latents, b.query.latents) for a, b in zip(happened, again, strict=True))
    assert torch.equal(replayed.sample(6), method.sample(6)) and replayed.cost.forward == method.cost.forward


@everywhere
def test_an_interrupted_session_goes_on_from_its_log(name: str, task: str) -> None:
    whole = build(name, task)
    happened = rounds(whole, task)
    resumed = build(name, task)
    rounds(resumed, task, [log_line(happened[0]), log_line(happened[1])])
    assert torch.equal(resumed.sample(6), whole.sample(6))


def test_a_log_line_survives_missing_answers_and_pairs() -> None:
    feedback = Feedback(np.array([1.0, np.nan]), np.array([0.9, 0.2]), np.array([[0, 1]]))
    happened = Round(0, Query(torch.zeros(2, 2), ["a cat", "a cat"]), torch.zeros(2, 2), feedback)
    line = json.loads(json.dumps(log_line(happened)))
    assert line["liking"] == [1.0, None] and line["condition"] == ["a cat", "a cat"]
    back = feedback_from(line)
    np.testing.assert_array_equal(back.liking, feedback.liking)
    np.testing.assert_array_equal(back.pairs, feedback.pairs)


# ---------------------------------------------------------------- every method of the shipped configurations


FEW = {"particles": 6, "labels": 5}


@cache
def shipped() -> grid.Grid:
    return grid.load(Path(__file__).parents[1] / "config.yaml")


def configured() -> list[tuple[str, str]]:
    """Each method label of config.yaml, with the first task that it runs on."""
    return list({spec.method: (spec.method, spec.task) for spec in shipped()}.values())


@pytest.mark.parametrize(("label", "task"), configured())
def test_every_configured_method_learns_and_samples(label: str, task: str) -> None:
    data = yaml.safe_load((Path(__file__).parents[1] / "config.yaml").read_text())["methods"][label]
    algorithm = data.pop("algorithm", label)
    method = build(algorithm, task, **{**data, **{k: v for k, v in FEW.items() if k in data}})
    query = method.ask(K)
    method.tell(query, Feedback(np.array([1.0, 0.0]), np.array([0.9, 0.1])))
    samples = method.sample(3)
    assert samples.shape[0] == 3 and torch.isfinite(samples).all()


@everywhere
def test_final_samples_never_want_more_candidates_than_the_pool_holds(name: str, task: str) -> None:
    method = build(name, task)
    assert method.candidates >= 1
    spec: Any = SimpleNamespace(config=SimpleNamespace(measures=Measures(final=40, base=64)))
    count = final_count(spec, method)
    assert 1 <= count <= 40 and method.sample(count).shape[0] == count


def test_best_of_16_draws_as_many_as_there_are_candidates_for() -> None:
    spec: Any = SimpleNamespace(config=SimpleNamespace(measures=Measures(final=40, base=64)))
    assert final_count(spec, build("best_of_n", "gmm2d", n=16)) == 4


# ---------------------------------------------------------------- a method that does not exist yet


DUMMY = '''
"""Shows base samples and returns the liked ones."""
import numpy as np
import torch
from papa.interaction import Query
from papa.methods.interface import Method

class Dummy(Method):
    liked = None

    def ask(self, k):
        noise = self.stream.at("ask", round=self.round)
        return Query(self.draw(self.task.denoiser(self.cost), k, noise), self.condition(k))

    def tell(self, query, feedback):
        new = query.latents[torch.from_numpy(feedback.liking == 1)]
        self.liked = new if self.liked is None else torch.cat([self.liked, new])
        self.round += 1

    def sample(self, n):
        base = self.base_latents(n)
        if self.liked is not None and len(self.liked):
            base = self.liked[torch.arange(n) % len(self.liked)]
        return base

    def state(self):
        return super().state() | {"liked": self.liked}

    def restore(self, state):
        super().restore(state)
        self.liked = state["liked"]
'''


@pytest.fixture
def dummy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One new file and one line in the registry."""
    (tmp_path / "dummy_method_of_tests.py").write_text(DUMMY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(METHODS, "dummy", Entry("dummy_method_of_tests:Dummy"))
    importlib.invalidate_caches()
    yield "dummy"
    sys.modules.pop("dummy_method_of_tests", None)


CHECKS: list[Callable[[str, str], None]] = [
    test_ask_gives_k_items_of_the_tasks_shape,
    test_sample_gives_n_items_at_any_time,
    test_sampling_changes_nothing,
    test_the_same_seed_gives_the_same_numbers_and_another_seed_others,
    test_a_restored_method_samples_the_same_and_learns_on_the_same,
    test_replaying_the_log_gives_the_state_back,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_new_method_is_held_to_the_same(dummy: str, check: Callable[[str, str], None]) -> None:
    check(dummy, "digits")
    check(dummy, "gmm2d")


def test_these_checks_can_fail(dummy: str, tmp_path: Path) -> None:
    def broken(old: str, new: str, module: str) -> str:
        assert old in DUMMY
        (tmp_path / f"{module}.py").write_text(DUMMY.replace(old, new))
        importlib.invalidate_caches()
        METHODS["dummy"] = Entry(f"{module}:Dummy")  # the fixture puts the registry back
        return dummy

    forgets = broken('self.liked = state["liked"]', "pass", "dummy_that_forgets")
    with pytest.raises(AssertionError):
        test_a_restored_method_samples_the_same_and_learns_on_the_same(forgets, "digits")
    draws = broken("base = self.base_latents(n)", "base = self.base_latents(n) + torch.rand(())", "dummy_that_draws")
    with pytest.raises(AssertionError):
        test_sampling_changes_nothing(draws, "digits")
    repeats = broken("round=self.round", "round=0", "dummy_that_repeats")
    with pytest.raises(AssertionError):
        test_what_is_shown_differs_from_round_to_round(repeats, "digits")


@pytest.mark.usefixtures("small_blocks")
def test_a_new_method_appears_in_the_long_table_t1_and_f1(
    dummy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = {"task": "digits", "methods": ["base", "dummy"], "users": ["likes-1479"], "seeds": [0]}
    methods = {"base": {"labels": 4, "per_round": 2}, "dummy": {"labels": 4, "per_round": 2}}
    data = tiny.config(tmp_path, block, methods=methods)
    path = str(tiny.write(tmp_path, data))
    assert cli.main(["base", "--config", path, "--task", "digits", "--seeds", "0"]) == 0
    for method in block["methods"]:
        run = ["align", "--config", path, "--task", "digits", "--method", method, "--user", "likes-1479"]
        assert cli.main(run) == 0
    assert cli.main(["score", "--config", path]) == 0
    assert cli.main(["collect", "--config", path]) == 0
    of = grid.load(path)
    table = read_table(of)
    assert set(table.method) == {"base", "dummy"}
    mine = table[(table.method == "dummy") & (table.metric == "preference_gold")]
    assert len(mine) and mine.value.between(0, 1).all()
    made = make("T1", table, of)
    assert "dummy" in set(made.frame.method) and "| dummy" in made.markdown

    legends: list[str] = []
    monkeypatch.setattr("papa.figures.style.legend_below", remember(legends))
    plot("F1", table, of, tmp_path / "figures")
    assert (tmp_path / "figures" / "F1.png").stat().st_size > 1000
    assert "dummy" in legends
    assert cli.main(["table", "T1", "--config", path]) == cli.main(["plot", "F1", "--config", path]) == 0
    assert "dummy" in pd.read_csv(Path(of.config.results) / "tables" / "T1.csv").method.tolist()


def remember(found: list[str]) -> Callable[..., None]:
    """Takes the labels that a figure's legend would show."""
    from papa.figures import style

    real = style.legend_below

    def legend_below(figure: Any, ax: Any, *args: Any, **kwargs: Any) -> Any:
        found.extend(ax.get_legend_handles_labels()[1])
        return real(figure, ax, *args, **kwargs)

    return legend_below
