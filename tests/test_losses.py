"""PAPA's loss: gradients, weights, estimators, memory, and what a run does that diverges."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from diffusers import UNet2DModel
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from papa.align import align
from papa.config import EpapaSettings, PapaSettings
from papa.diffusion.denoiser import Cost, DiffusionDivergedError
from papa.diffusion.losses import Pairs, accumulate_gradients, stratified_timesteps
from papa.diffusion.schedule import lambda_weights
from papa.errors import SettingsError
from papa.interaction import Feedback, Query
from papa.methods.papa import Papa
from papa.records import read_arrays, verify
from papa.rng import Stream
from papa.score import score
from papa.tasks.digits import Digits

PUBLISHED_BETAS = np.linspace(1e-4, 0.02, 1000)
ABAR = torch.from_numpy(np.cumprod(1 - PUBLISHED_BETAS)).float()


def small_unet(seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            norm_num_groups=4,
        )
    return net.eval()


@pytest.fixture(scope="module")
def nets() -> tuple[nn.Module, nn.Module]:
    """A network and another one in the part of the base."""
    return small_unet(0), small_unet(1).requires_grad_(False)


X0 = torch.from_numpy(Stream(0).at("x0").normal(3, 1, 8, 8)).clamp(-1, 1)
STRATA = 5


def eps(item: int) -> Tensor:
    return torch.from_numpy(Stream(0).at(item=item).normal(STRATA, 1, 8, 8))


def pairs(ceiling: float | None = None) -> Pairs:
    """Three items, the second one disliked; the last one without a second term."""
    timesteps = stratified_timesteps(Stream(1).uniform(3, STRATA), 0, 1000)
    preference = torch.tensor([[1.0], [-1.0], [0.5]]) * torch.linspace(0.1, 1, STRATA) / 3
    near = torch.tensor([[1.0], [1.0], [0.0]]).expand(3, STRATA) / 3 / STRATA
    return Pairs(timesteps, preference, near.contiguous(), ceiling)


def gradients(net: nn.Module, base: nn.Module, chunk: int, anchor: nn.Module | None = None, **kw: Any):
    """The loss's two terms, its gradient as one vector, and its cost."""
    net.zero_grad()
    cost = Cost()
    terms = accumulate_gradients(net, base, anchor or base, ABAR, X0, eps, pairs(**kw), chunk, cost)
    return terms, torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]).clone(), cost


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize("ceiling", [None, 2.0, 0.5])
@pytest.mark.parametrize("chunk", [1, 2, 4, 7, 14])
def test_gradients_over_chunks_are_the_gradient_of_the_whole(nets, chunk: int, ceiling: float | None) -> None:
    whole_terms, whole, whole_cost = gradients(*nets, chunk=1000, ceiling=ceiling)
    terms, parts, cost = gradients(*nets, chunk=chunk, ceiling=ceiling)
    assert (parts - whole).norm() <= 1e-5 * whole.norm() and whole.norm() > 1e-3
    assert terms == pytest.approx(whole_terms, rel=1e-5)
    assert (cost.forward, cost.backward) == (whole_cost.forward, whole_cost.backward)


def test_the_loss_is_the_formula(nets) -> None:
    """Item by item and timestep by timestep, in the plainest way."""
    net, base = nets
    p, loss = pairs(), torch.zeros(2)
    for i in range(3):
        for k in range(STRATA):
            t = p.timesteps[i, k]
            abar, noise = ABAR[t], eps(i)[k]
            x_t = (abar.sqrt() * X0[i] + (1 - abar).sqrt() * noise)[None]
            predicted, reference = net(x_t, t[None]).sample[0], base(x_t, t[None]).sample[0]
            loss = loss + torch.stack(
                [
                    p.preference[i, k] * ((noise - predicted) ** 2).mean(),
                    p.anchor[i, k] * ((predicted - reference) ** 2).mean(),
                ]
            )
    net.zero_grad()
    loss.sum().backward()
    expected = torch.cat([q.grad.flatten() for q in net.parameters() if q.grad is not None])
    terms, found, _ = gradients(net, base, chunk=1000)
    assert terms == pytest.approx(loss.tolist(), rel=1e-5)
    assert (found - expected).norm() <= 1e-5 * expected.norm()


def test_another_anchor_than_the_base_is_what_the_second_term_stays_near(nets) -> None:
    net, base = nets
    itself = copy.deepcopy(net).requires_grad_(False)
    terms, _, cost = gradients(net, base, chunk=1000, anchor=itself, ceiling=2.0)
    assert terms[1] == 0.0
    assert terms[0] == pytest.approx(gradients(net, base, chunk=1000, ceiling=2.0)[0][0], rel=1e-5)
    assert cost.frozen == 3 * STRATA + 3 * STRATA  # base and anchor each on the whole chunk of three items


def test_evaluations_are_counted_and_the_frozen_ones_apart(nets) -> None:
    assert gradients(*nets, chunk=4)[2] == Cost(
        forward=15, backward=15, frozen=12
    )  # three of four chunks need the base


def test_a_loss_that_is_no_number_is_an_error(nets) -> None:
    broken = copy.deepcopy(nets[0])
    next(broken.parameters()).data.fill_(float("nan"))
    with pytest.raises(DiffusionDivergedError, match="lower lr"):
        gradients(broken, nets[1], chunk=4)


# ---------------------------------------------------------------- bounded ascent


class Constant(nn.Module):
    """A network that predicts one number everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, x: Tensor, t: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=self.value.expand_as(x))


def slope(value: float, sign: float, ceiling: float | None) -> float:
    """d loss / d value of a network that predicts `value` where 0 is right and the base predicts 1."""
    net = Constant(value)
    one = torch.ones(1, 1)
    p = Pairs(torch.zeros(1, 1, dtype=torch.int64), sign * one, 0 * one, ceiling)
    base = Constant(1.0).requires_grad_(False)
    accumulate_gradients(net, base, base, ABAR, X0[:1], lambda item: torch.zeros(1, 1, 8, 8), p, 8, Cost())
    assert net.value.grad is not None
    return net.value.grad.item()


def test_bounded_ascent_has_no_gradient_beyond_the_ceiling_and_published_ascent_has() -> None:
    # The base's error is 1, so a ceiling of 2 stands at a value of sqrt(2).
    assert slope(1.5, -1, ceiling=2.0) == 0.0
    assert slope(1.5, -1, ceiling=None) == pytest.approx(-3.0)
    assert slope(100.0, -1, ceiling=2.0) == 0.0
    assert slope(1.3, -1, ceiling=2.0) == slope(1.3, -1, ceiling=None) == pytest.approx(-2.6)


def test_the_ceiling_holds_for_disliked_items_alone() -> None:
    assert slope(1.5, +1, ceiling=2.0) == pytest.approx(3.0)


# ---------------------------------------------------------------- stratified timesteps


@settings(max_examples=40)
@given(strata=st.integers(1, 30), first=st.integers(0, 50), count=st.integers(1, 150))
def test_every_timestep_is_drawn_equally_often_whether_or_not_k_divides_their_number(
    strata: int, first: int, count: int
) -> None:
    """Integrated over a fine grid of uniforms instead of drawn, so the mean is exact up to the grid."""
    strata, grid = min(strata, count), 4000
    u = np.repeat((np.arange(grid) + 0.5)[:, None] / grid, strata, axis=1)
    drawn = stratified_timesteps(u, first, first + count)
    assert drawn.shape == (grid, strata) and drawn.min() >= first and drawn.max() < first + count
    mean = np.bincount(drawn.flatten().numpy() - first, minlength=count) / grid * count / strata
    assert np.abs(mean - 1).max() <= 2 * count / strata / grid + 1e-9


@given(seed=st.integers(0, 99), strata=st.integers(1, 20))
def test_there_is_one_timestep_in_each_stratum(seed: int, strata: int) -> None:
    drawn = stratified_timesteps(Stream(seed).uniform(4, strata), 0, 20 * strata).numpy()
    assert (drawn // 20 == np.arange(strata)).all()


def test_uniforms_next_to_one_stay_in_range() -> None:
    u = np.full((1, 7), np.nextafter(1.0, 0.0))
    drawn = stratified_timesteps(u, 3, 10)
    assert drawn.min() >= 3 and drawn.max() == 9


def method(digits: Digits, cls: type[PapaSettings] = PapaSettings, seed: int = 0, **given: Any) -> Papa:
    return Papa(tiny.small(cls, **given), digits, Stream(seed), lambda n: torch.zeros(n, *digits.shape))


@pytest.mark.parametrize("weights", ["uniform", "lambda"])
@pytest.mark.parametrize("strata", [1, 7, 8, 20])
@pytest.mark.parametrize("k", [0.0, 0.4, 0.63])
def test_the_mean_of_the_stratified_estimator_is_the_exact_sum(digits, k: float, strata: int, weights: Any) -> None:
    """Both terms, PAPA's range and EPAPA's, K that divides the number of timesteps and K that does not."""
    draws, r = 4000, 0.7
    exact = method(digits, EpapaSettings, frozen_below=k, weights=weights, timesteps="exact")
    estimator = method(digits, EpapaSettings, frozen_below=k, weights=weights, timesteps=strata)
    f = np.cos(np.arange(exact.total) / 30) + np.arange(exact.total) / 200  # stands for the errors at each timestep
    truth, drawn = exact.pairs(np.array([r]), Stream(0)), estimator.pairs(np.full(draws, r), Stream(0))
    for name in ("preference", "anchor"):
        wanted = (getattr(truth, name)[0].double().numpy() * f[truth.timesteps[0]]).sum()
        values = (getattr(drawn, name).double().numpy() * f[drawn.timesteps]).sum(1) * draws
        assert abs(values.mean() - wanted) <= 4.5 * values.std() / draws**0.5 + 1e-5 * abs(wanted), name
        assert abs(wanted) > 1e-3


def test_epapa_keeps_papas_stratum_width(digits: Digits) -> None:
    def width(k: float) -> int:
        return method(digits, EpapaSettings, frozen_below=k, timesteps=20)._strata()

    assert [width(k) for k in (0.0, 0.4, 0.99, 1.0)] == [20, 12, 1, 1]


# ---------------------------------------------------------------- lambda_t


def lambda_by_hand(betas: np.ndarray, first: float) -> np.ndarray:
    """lambda_t = (1 - alpha_t) / (alpha_t (1 - abar_{t-1})), term by term, t from 1; `first` stands at t = 1."""
    abar, found = 1.0, []
    for t, beta in enumerate(betas, start=1):
        found.append(first if t == 1 else beta / ((1 - beta) * (1 - abar)))
        abar *= 1 - beta
    return np.array(found)


@pytest.mark.parametrize("betas", [PUBLISHED_BETAS, np.linspace(5e-4, 0.07, 200)])
def test_lambda_by_hand(betas: np.ndarray) -> None:
    abar = torch.from_numpy(np.cumprod(1 - betas))
    alpha = 1 - betas
    wrapped = betas[0] / (alpha[0] * (1 - np.prod(alpha)))  # abar_{-1} wraps around to abar_T
    variance_2 = betas[1] * (1 - alpha[0]) / (1 - alpha[0] * alpha[1])
    for first, value in (("published", wrapped), ("clipped", betas[0] / (alpha[0] * variance_2))):
        expected = lambda_by_hand(betas, value)
        found = lambda_weights(abar, first)
        np.testing.assert_allclose(found.numpy(), expected / expected.sum(), rtol=1e-9)
        assert found.sum().item() == pytest.approx(1, abs=1e-12) and found.dtype == torch.float64


def test_the_first_weight_clipped_is_close_to_2_and_published_next_to_nothing() -> None:
    abar = torch.from_numpy(np.cumprod(1 - PUBLISHED_BETAS))
    second = lambda_by_hand(PUBLISHED_BETAS, 0.0)[1]  # what lambda_2 is before the weights are normalized
    clipped, published = lambda_weights(abar, "clipped"), lambda_weights(abar, "published")
    assert clipped[0] / clipped[1] * second == pytest.approx(2, rel=0.1)
    assert published[0] / published[1] * second == pytest.approx(1e-4, rel=0.01)
    assert published[:400].sum() == pytest.approx(0.57, abs=0.03)  # what EPAPA leaves out, as its paper's betas have it


def test_float32_schedules_give_the_same_weights() -> None:
    exact = lambda_weights(torch.from_numpy(np.cumprod(1 - PUBLISHED_BETAS)))
    np.testing.assert_allclose(lambda_weights(ABAR).numpy(), exact.numpy(), rtol=2e-3)


def test_another_first_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="clipped"):
        lambda_weights(ABAR, "infinite")


# ---------------------------------------------------------------- memory


MEMORY = """
import sys, torch, numpy as np
from types import SimpleNamespace
from diffusers import UNet2DModel
from papa.config import PapaSettings
from papa.interaction import Feedback, Query
from papa.machine import peak_memory_mib, reset_peak_memory
from papa.methods.papa import Papa
from papa.rng import Stream

torch.set_num_threads(1)

class Task:
    shape, condition, dtype, device = (1, 28, 28), None, torch.float32, "cpu"
    settings = SimpleNamespace(chunk=16)
    def __init__(self, T):
        self.alphas_cumprod = torch.cumprod(1 - torch.linspace(1e-4, 0.02, T), 0)
    def sigmas(self):
        return torch.tensor([1.0, 0.0])
    def unet(self):
        return UNet2DModel(sample_size=28, in_channels=1, out_channels=1, layers_per_block=1,
            block_out_channels=(8, 8), down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
            norm_num_groups=4).eval()

def peak(T, chunk):
    settings = PapaSettings(labels=1, per_round=1, updates=1, items=1, timesteps="exact", chunk=chunk)
    method = Papa(settings, Task(T), Stream(0), lambda n: torch.zeros(n, 1, 28, 28))
    reset_peak_memory()
    method.tell(Query(torch.zeros(1, 1, 28, 28)), Feedback(np.ones(1), np.ones(1)))
    assert method.cost.backward == T
    return peak_memory_mib()

peak(8, 8)  # whatever is loaded on the first use
reset_peak_memory()
start = peak_memory_mib()
print(start, peak(100, 20), peak(1000, 20), peak(100, 100))
"""


def test_peak_memory_does_not_grow_with_the_number_of_timesteps() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    start, short, long, unchunked = map(float, done.stdout.split()[-4:])
    assert long <= 1.2 * short, done.stdout
    assert long - start <= 1.35 * (short - start), done.stdout  # what training itself takes
    assert unchunked - start > 3 * (short - start), "the whole sum at once must show, or this test sees nothing"


# ---------------------------------------------------------------- the methods


def session(papa: Papa, rounds: int = 2, k: int = 3, liking: Callable[[int], list[float]] | None = None) -> Tensor:
    """A few rounds with made-up answers; returns samples."""
    for h in range(rounds):
        query: Query = papa.ask(k)
        answers = np.array(liking(h) if liking else [1.0, 0.0, 1.0][:k])
        papa.tell(query, Feedback(answers, answers))
    return papa.sample(4)


def parameters(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_epapa_at_k_zero_is_papa_bit_for_bit(digits: Digits) -> None:
    papa, epapa = method(digits), method(digits, EpapaSettings, frozen_below=0.0)
    assert torch.equal(session(papa), session(epapa))
    assert torch.equal(parameters(papa.unet), parameters(epapa.unet)) and papa.cost == epapa.cost
    assert not torch.equal(session(method(digits)), session(method(digits, EpapaSettings)))


def test_epapa_neither_trains_nor_samples_below_k(digits: Digits) -> None:
    epapa = method(digits, EpapaSettings, timesteps="exact", items=2)
    assert epapa.first == 80 and epapa.pairs(np.ones(2), Stream(0)).timesteps.min() == 80
    session(epapa, rounds=1)
    levels = ((1 - digits.alphas_cumprod) / digits.alphas_cumprod).sqrt()
    y = torch.zeros(1, 1, 8, 8)
    below, above = float(levels[79]), float(levels[81])
    base = digits.denoiser(Cost())
    assert torch.equal(epapa.denoiser()(y, below), base(y, below))
    assert not torch.equal(epapa.denoiser()(y, above), base(y, above))


def test_frozen_altogether_is_the_base(digits: Digits) -> None:
    frozen = method(digits, EpapaSettings, frozen_below=1.0)
    samples = session(frozen)
    assert frozen.cost.backward == 0
    base = frozen.draw(digits.denoiser(Cost()), 4, frozen.stream.at("sample"))
    torch.testing.assert_close(samples, base, atol=1e-4, rtol=0)  # the copy runs through other kernels: last bits


VARIANTS: list[dict[str, Any]] = [
    {},
    {"preset": "published", "updates": 1, "timesteps": 4},
    {"qpde_on": "liked"},
    {"anchor": "previous"},
    {"weights": "lambda"},
    {"chunk": 3},
]


NAMES = ["default", "published", "liked", "previous", "lambda", "chunk"]


@pytest.mark.parametrize("variant", VARIANTS, ids=NAMES)
def test_without_the_preference_term_the_model_stays_at_the_base_bit_for_bit(digits, variant: dict[str, Any]) -> None:
    papa = method(digits, **variant, c_pref=0.0)
    session(papa)
    assert papa.cost.backward > 0
    assert torch.equal(parameters(papa.unet), parameters(papa.base))


@pytest.mark.parametrize("variant", VARIANTS, ids=NAMES)
def test_with_it_the_model_moves_and_the_base_does_not(digits: Digits, variant: dict[str, Any]) -> None:
    papa = method(digits, **variant)
    session(papa)
    assert not torch.equal(parameters(papa.unet), parameters(papa.base))
    assert torch.equal(parameters(papa.base), parameters(digits.unet()))


def test_liking_lowers_the_error_of_an_item_and_disliking_raises_it(digits: Digits) -> None:
    x0 = digits.part("C")[0][:4]
    query = Query(x0)

    def error_after(answer: float) -> float:
        papa = method(digits, updates=4, items=4, timesteps=8, lr=1e-3, c_qpde=0.0)
        papa.tell(query, Feedback(np.full(4, answer), np.full(4, answer)))
        truth = method(digits, timesteps=8)
        truth.unet.load_state_dict(papa.unet.state_dict())
        p = truth.pairs(np.ones(4), Stream(9))
        noise = truth._noise(Stream(9), 8)
        return accumulate_gradients(
            truth.unet, truth.base, truth.base, digits.alphas_cumprod, x0, noise, p, 256, Cost()
        )[0]

    liked, neutral, disliked = (error_after(answer) for answer in (1.0, 0.5, 0.0))
    assert liked < neutral < disliked


def test_how_disliked_items_count(digits: Digits) -> None:
    feedback = np.array([1.0, -1.0])
    assert method(digits).pairs(feedback, Stream(0)).ceiling == 2.0
    assert method(digits, margin=0.5).pairs(feedback, Stream(0)).ceiling == 1.5
    published = method(digits, negatives="published").pairs(feedback, Stream(0))
    assert published.ceiling is None and (published.preference[1] < 0).all()


def test_without_negatives_disliked_items_change_nothing(digits: Digits) -> None:
    papa = method(digits, negatives="none")
    session(papa, liking=lambda h: [0.0, 0.0, 0.0])
    assert papa.cost.backward == 0
    papa = method(digits, negatives="none")
    session(papa)
    assert papa.cost.backward > 0


def test_without_accumulation_a_round_of_no_answers_trains_on_nothing(digits: Digits) -> None:
    def trained(accumulate: bool) -> int:
        papa = method(digits, accumulate=accumulate)
        session(papa, rounds=2, liking=lambda h: [1.0, 0.0, 1.0] if h == 0 else [np.nan] * 3)
        return papa.cost.backward

    assert trained(True) == 2 * trained(False) > 0


def test_items_of_an_update_are_used_equally_often(digits: Digits) -> None:
    order = method(digits, updates=3, items=8)._item_order(5, Stream(0))
    counts = np.bincount(order.flatten(), minlength=5)
    assert order.shape == (3, 8) and counts.max() - counts.min() <= 1


def test_shared_noise_is_one_draw_per_item(digits: Digits) -> None:
    shared, own = (method(digits, shared_noise=flag)._noise(Stream(0), 3)(0) for flag in (True, False))
    assert torch.equal(shared[0], shared[1]) and not torch.equal(own[0], own[1])


# ---------------------------------------------------------------- presets


RELEASE = {
    "c_pref": 0.1,
    "c_qpde": 0.009,
    "weights": "lambda",
    "first_weight": "published",
    "negatives": "published",
    "accumulate": False,
    "qpde_on": "liked",
    "qpde_timesteps": "last",
    "timesteps": "exact",
    "shared_noise": True,
    "items": 1,
    "lr": 1e-5,
}


def test_the_published_preset_is_the_release() -> None:
    found = PapaSettings(preset="published").model_dump()
    assert {name: found[name] for name in RELEASE} == RELEASE
    assert found["updates"] == found["per_round"]  # one Adam step per image of a round
    rest = {name: value for name, value in found.items() if name not in {*RELEASE, "updates", "preset"}}
    assert rest == {name: PapaSettings().model_dump()[name] for name in rest}
    assert EpapaSettings(preset="published").frozen_below == 0.4


def test_single_settings_win_over_the_preset(tmp_path: Path) -> None:
    given: dict[str, Any] = {"preset": "published", "lr": 1e-3, "negatives": "bounded"}
    found = PapaSettings(**given)
    assert (found.lr, found.negatives, found.c_pref) == (1e-3, "bounded", 0.1)
    grid = tiny.grid(tmp_path, tiny.DIGITS, methods={"base": {}, "fkc": {}, "papa": given})
    assert grid.methods["papa"][1] == found


def test_an_unknown_preset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"methods\.papa\.preset.*published"):
        tiny.grid(tmp_path, tiny.DIGITS, methods={"base": {}, "fkc": {}, "papa": {"preset": "publised"}})


def test_the_releases_second_term_is_at_the_last_timestep_of_liked_items(digits: Digits) -> None:
    p = method(digits, preset="published", timesteps="exact").pairs(np.array([1.0, -1.0]), Stream(0))
    assert p.anchor[0].nonzero().flatten().tolist() == [199] and not p.anchor[1].any()
    assert p.anchor[0, 199].item() == pytest.approx(0.009 / 2)


# ---------------------------------------------------------------- divergence is data


class BreaksAfter(nn.Module):
    """A network that returns NaN from some call on."""

    def __init__(self, net: nn.Module, calls: int) -> None:
        super().__init__()
        self.net, self.left = net, calls

    def forward(self, x: Tensor, t: Tensor) -> SimpleNamespace:
        self.left -= 1
        sample = self.net(x, t).sample
        return SimpleNamespace(sample=sample if self.left >= 0 else sample * float("nan"))


# The first round asks with 3 calls, trains with one, and then draws samples for the curves.
@pytest.mark.parametrize(("calls", "rounds", "word"), [(0, 0, "noise level"), (3, 0, "loss"), (4, 1, "noise level")])
@pytest.mark.usefixtures("small_blocks")
def test_a_nan_from_the_model_ends_the_run_as_diverged_with_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Digits, calls: int, rounds: int, word: str
) -> None:
    grid = tiny.grid(tmp_path, tiny.DIGITS)
    (spec,) = grid.select("digits", "papa", "likes-1479", [0])
    real = digits.unet
    monkeypatch.setattr(digits, "unet", lambda: BreaksAfter(real(), calls))
    said: list[str] = []
    align(spec, grid.pool("digits", 0), digits, said.append)
    meta = verify(spec.folder, spec.key)
    assert meta["status"] == "diverged" and word in meta["reason"]
    assert any("diverged" in line for line in said)
    assert meta["labels"] == 2 * rounds
    assert len((spec.folder / "feedback.jsonl").read_text().splitlines()) == rounds
    arrays = read_arrays(spec.folder / "samples.npz")
    assert "final" not in arrays and all(np.isfinite(values).all() for values in arrays.values())

    from papa.pool import main as make_pools

    monkeypatch.undo()
    make_pools([grid.pool("digits", 0)], digits, said.append)
    score([spec], lambda s: grid.pool(s.task, s.seed), digits, said.append)
    measured = json.loads((spec.folder / "metrics.json").read_text())["rows"]
    rows = {(row["metric"], row["stage"]): row["value"] for row in measured}
    assert rows["diverged", "final"] == 1.0
    assert ("preference_gold", "final") not in rows


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("papa", {"lr": 1e30, "negatives": "published"}),
        ("fkc", {"surrogate": {"lr": 1e30, "epochs": 9, "channels": 8}}),
    ],
)
def test_a_learning_rate_that_blows_a_model_up_is_seen(
    tmp_path: Path, digits: Digits, name: str, given: dict[str, Any]
) -> None:
    """Without any broken part: runs that really diverge."""
    methods = tiny.config(tmp_path)["methods"]
    methods[name] |= given
    grid = tiny.grid(tmp_path, tiny.DIGITS, methods=methods)
    (spec,) = grid.select("digits", name, "likes-1479", [1])
    align(spec, grid.pool("digits", 1), digits, lambda line: None)
    meta = verify(spec.folder, spec.key)
    assert meta["status"] == "diverged" and "lower" in meta["reason"]
