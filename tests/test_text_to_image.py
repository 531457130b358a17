"""The text-to-image path: loading, guidance, the pipeline's own samples, judges and users.

On a random pipeline in Stable Diffusion 1.5's layout, and on `fruits` where its artefacts are.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_sd15
import torch
from diffusers import EulerAncestralDiscreteScheduler
from diffusers.models.attention_processor import SlicedAttnProcessor
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from papa.config import FkcSettings, Measures, Sd15Settings
from papa.diffusion.denoiser import Cost, DiffusionDivergedError
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.diffusion.schedule import sigmas_of
from papa.errors import PapaError, SettingsError
from papa.methods.fkc import Fkc
from papa.metrics.diversity import Diversity
from papa.metrics.interface import Bench, RunView
from papa.registry import USERS
from papa.rng import Stream
from papa.tasks.prompts import PromptBank
from papa.tasks.sd15 import Sd15
from papa.tasks.text_to_image import TextToImage
from papa.users.concepts import ConceptUser, UnionUser

N = 4


@pytest.fixture(scope="module", params=tiny_sd15.TASKS)
def task(request: pytest.FixtureRequest) -> TextToImage:
    return tiny_sd15.either(request.param)


@pytest.fixture(scope="module")
def tiny() -> Sd15:
    return tiny_sd15.task()


def images_of(task: TextToImage, n: int = 12) -> Tensor:
    """Base images of a task."""
    noise = stream_noise(Stream(3), (n, *task.shape), task.dtype)
    with torch.no_grad():
        return task.decode(euler_ancestral(task.denoiser(Cost()), task.sigmas(), noise))


def at_scale(task: TextToImage, scale: float) -> TextToImage:
    """The same task with another guidance scale."""
    return type(task)(task.settings.model_copy(update={"guidance_scale": scale}))


# ---------------------------------------------------------------- loading


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("checker", [False, True])
def test_a_folder_of_the_hubs_layout_loads(half: bool, checker: bool) -> None:
    task = Sd15(tiny_sd15.settings(model=str(tiny_sd15.pipeline(half, checker))))
    assert task.pipe.safety_checker is None
    assert task.shape == (4, 8, 8) and task.condition == "a photo of a fruit"
    assert task.pipe.unet.dtype == task.pipe.vae.dtype == task.pipe.text_encoder.dtype == torch.float32  # auto, CPU


def test_half_precision_runs_close_to_float32_and_answers_in_float32(tiny: Sd15) -> None:
    half = Sd15(tiny_sd15.settings(model=str(tiny_sd15.pipeline(half=True)), dtype="fp16"))
    assert half.pipe.unet.dtype == half.pipe.vae.dtype == torch.float16
    y = torch.from_numpy(Stream(1).normal(N, *tiny.shape)) * 3
    with torch.no_grad():
        exact, rounded = tiny.denoiser(Cost())(y, 3.0), half.denoiser(Cost())(y, 3.0)
    assert rounded.dtype == torch.float32 and half.dtype == torch.float32
    assert 0 < (exact - rounded).abs().max() < 0.05
    assert half.decode(y).dtype == torch.float32


@pytest.mark.parametrize("on", [False, True])
def test_slicing_and_tiling_follow_the_settings_and_change_nothing(on: bool, tiny: Sd15) -> None:
    given = dict.fromkeys(("attention_slicing", "vae_slicing", "vae_tiling"), on)
    task = Sd15(tiny_sd15.settings(**given))
    sliced = [isinstance(p, SlicedAttnProcessor) for p in task.pipe.unet.attn_processors.values()]
    assert all(sliced) if on else not any(sliced)
    assert task.pipe.vae.use_slicing is on and task.pipe.vae.use_tiling is on
    torch.testing.assert_close(images_of(task, 3), images_of(tiny, 3), atol=1e-4, rtol=0)


def test_latents_are_scaled_as_the_vae_says(task: TextToImage) -> None:
    vae = task.pipe.vae
    z = torch.from_numpy(Stream(2).normal(2, *task.shape))
    with torch.no_grad():
        expected = vae.decode(z / vae.config.scaling_factor).sample.clamp(-1, 1)
        torch.testing.assert_close(task.decode(z), expected, atol=1e-5, rtol=0)
    if isinstance(task, Sd15):
        assert vae.config.scaling_factor == 0.18215 and task.spread == 1.0


def test_the_noise_levels_are_those_of_diffusers_own_scheduler(task: TextToImage) -> None:
    pipe = tiny_sd15.reference(tiny_sd15.folder_of(task))
    scheduler: Any = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(task.settings.steps)
    np.testing.assert_array_equal(task.sigmas(), scheduler.sigmas)
    assert task.alphas_cumprod is not None
    levels = sigmas_of(task.alphas_cumprod.double())
    timesteps = [task.denoiser(Cost()).timestep(sigma) for sigma in task.sigmas()[:-1].tolist()]  # type: ignore[attr-defined]
    np.testing.assert_allclose(timesteps, scheduler.timesteps, atol=1e-3)
    if isinstance(task, Sd15):
        assert levels[0].item() == pytest.approx((1 / (1 - 0.00085) - 1) ** 0.5, rel=1e-4) and len(levels) == 1000


# ---------------------------------------------------------------- guidance


def test_at_scale_1_the_guided_path_is_the_conditional_one(task: TextToImage) -> None:
    plain = at_scale(task, 1.0)
    y, sigma = torch.from_numpy(Stream(1).normal(N, *task.shape)) * 2, 2.0
    denoise = plain.denoiser(cost := Cost())
    with torch.no_grad():
        found = denoise(y, sigma)
        t = torch.full((N,), denoise.timestep(sigma))  # type: ignore[attr-defined]
        prompt = plain.pipe.encode_prompt(plain.condition, "cpu", 1, False)[0].expand(N, -1, -1)
        eps = plain.pipe.unet(y / (1 + sigma**2) ** 0.5, t, prompt).sample
    torch.testing.assert_close(found, y - sigma * eps, atol=1e-5, rtol=1e-5)
    assert cost.forward == N and plain.evaluations_per_step == 1


def test_guidance_goes_through_the_scale_linearly_and_costs_two_evaluations(task: TextToImage) -> None:
    y = torch.from_numpy(Stream(1).normal(N, *task.shape))
    cost = Cost()
    with torch.no_grad():
        one, two, three = (at_scale(task, scale).denoiser(cost)(y, 1.0) for scale in (1.0, 2.0, 3.0))
    torch.testing.assert_close(three - two, two - one, atol=2e-4, rtol=0)
    assert (two - one).abs().max() > 1e-4 and cost.forward == N + 2 * N + 2 * N


def test_another_prompt_holds_inside_the_block_alone(task: TextToImage) -> None:
    before = images_of(task, 2)
    with task.prompted("a photo of a banana"):
        assert task.condition == "a photo of a banana"
        other = images_of(task, 2)
    assert task.condition == task.settings.prompt
    assert (other - before).abs().max() > 1e-4
    torch.testing.assert_close(images_of(task, 2), before, atol=0, rtol=0)


# ---------------------------------------------------------------- the pipeline's own samples


def by_diffusers(pipe: Any, task: TextToImage, noise: Callable[[int], Tensor], n: int, patch: Any) -> Tensor:
    """What diffusers itself draws, Euler-ancestral, from the same noise: (n, ...) latents."""
    steps = iter(range(1, task.settings.steps + 1))
    where = "diffusers.schedulers.scheduling_euler_ancestral_discrete.randn_tensor"
    patch.setattr(where, lambda *args, **kw: noise(next(steps)))
    pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
    return pipe(
        prompt=[task.condition] * n,
        num_inference_steps=task.settings.steps,
        guidance_scale=task.settings.guidance_scale,
        latents=noise(0),
        output_type="latent",
    ).images


@pytest.mark.parametrize("scale", [1.0, 7.5])
def test_fkc_at_beta_0_draws_what_diffusers_draws(scale: float, task: TextToImage, monkeypatch: Any) -> None:
    task = at_scale(task, scale)
    stream, given = Stream(5), FkcSettings(particles=N, surrogate={"epochs": 1, "channels": 4})  # type: ignore[arg-type]
    found = Fkc(given, task, Stream(0), lambda n: torch.zeros(0)).particles(1, 0.0, 0.0, stream)
    noise = stream_noise(stream, (N, *task.shape), task.dtype)
    pipe = tiny_sd15.reference(tiny_sd15.folder_of(task), torch_dtype=torch.float32)
    expected = by_diffusers(pipe, task, noise, N, monkeypatch)
    assert len(set(found.parents[0].tolist())) == N  # equal weights: everyone survives
    torch.testing.assert_close(found.samples, expected[found.parents[0]], atol=1e-4, rtol=1e-4)


# ---------------------------------------------------------------- the proxy and its users


def test_the_softmax_runs_over_all_concepts(task: TextToImage) -> None:
    proxy, images = task.proxy(), images_of(task)
    shares = proxy.probabilities(images)
    assert shares.shape == (len(images), len(task.concepts))
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    assert np.ptp(shares, axis=0).max() > 1e-3


def test_a_concepts_weight_does_not_depend_on_how_many_prompts_it_has(tiny: Sd15) -> None:
    twice = Sd15(tiny_sd15.settings(bank=tiny_sd15.BANK | {"grape": ["grapes", "grapes"]}))
    images = images_of(tiny)
    np.testing.assert_allclose(twice.proxy().probabilities(images), tiny.proxy().probabilities(images), atol=1e-6)


def test_at_temperature_10_nearly_all_is_disliked_raw_and_the_best_prompt_decides() -> None:
    bank = {name: [f"a {name}"] for name in Sd15Settings().bank}
    task = Sd15(tiny_sd15.settings(bank=bank, temperature=10))
    images = images_of(task, 32)
    best = task.proxy().similarity(images).argmax(1).numpy()
    users = [ConceptUser({"kind": name}) for name in bank]
    for user in users:
        user.meet(task)
    liking = np.stack([user.answer(images, "binary", Stream(0)).probability for user in users])
    answers = np.stack([user.answer(images, "binary", Stream(0)).liking for user in users])
    assert (2 * liking - 1 < 0).mean() > 0.9
    np.testing.assert_array_equal(answers.argmax(0), best)
    np.testing.assert_array_equal(answers.sum(0), 1)  # everybody's picture is somebody's


def test_a_union_likes_what_its_members_like_most(task: TextToImage) -> None:
    wanted = [{"kind": "apple"}, {"kind": "banana"}]
    alone, both = [ConceptUser(member) for member in wanted], UnionUser(wanted)
    for user in (*alone, both):
        user.meet(task)
    images = images_of(task)
    expected = torch.stack([user.liking(images) for user in alone]).amax(0)
    torch.testing.assert_close(both.liking(images), expected)
    verdicts = np.stack([user.verdict(images) for user in alone]).max(0)
    np.testing.assert_array_equal(both.verdict(images), verdicts)


def test_a_graded_user_answers_between_0_and_1() -> None:
    task = tiny_sd15.either("fruits")
    user = ConceptUser({"kind": "apple"}, graded=True)
    user.meet(task)
    images, shown = task.known_images()
    graded = user.answer(images[: len(images) // 8 * 8], "graded", Stream(0))
    assert graded.liking.min() >= 0 and graded.liking.max() <= 1 and len(set(graded.liking)) > 2
    order = np.argsort(graded.probability)
    gaps = np.diff(graded.liking[order])
    assert (gaps >= 0).all()  # an increasing map
    assert len(images) == len(shown) and set(shown.tolist()) <= set(range(len(task.concepts)))


def test_no_grades_are_made_of_a_proxy_that_knows_nothing(tiny: Sd15) -> None:
    """The random proxy likes other pictures as much as the user's own, or more."""
    with pytest.raises(PapaError, match="does not tell them apart"):
        ConceptUser({"kind": "apple"}, graded=True).meet(tiny)


def test_an_answer_looks_at_the_images_once(tiny: Sd15, monkeypatch: pytest.MonkeyPatch) -> None:
    user, looks = ConceptUser({"kind": "apple"}), []
    user.meet(tiny)
    similarity = tiny.proxy().similarity
    monkeypatch.setattr(tiny.proxy(), "similarity", lambda images: looks.append(len(images)) or similarity(images))
    images = images_of(tiny, 4)
    told = user.answer(images, "pairs", Stream(0))
    assert looks == [4]
    np.testing.assert_array_equal(told.liking, user.verdict(images))
    np.testing.assert_allclose(told.probability, user.liking(images).numpy(), rtol=1e-6)


def test_images_that_are_not_finite_are_refused(task: TextToImage) -> None:
    with pytest.raises(DiffusionDivergedError, match="fp32"), torch.no_grad():
        task.decode(torch.full((2, *task.shape), torch.nan))


def test_timesteps_that_begin_below_the_largest_level_are_replaced(tiny: Sd15, tmp_path: Path) -> None:
    """Their pipelines start with other noise; aligned models are saved with the levels that they were sampled on."""
    shutil.copytree(tiny_sd15.folder_of(tiny), tmp_path / "leading")
    file = tmp_path / "leading" / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"timestep_spacing": "leading"}))
    leading = Sd15(tiny_sd15.settings(model=str(tmp_path / "leading")))
    torch.testing.assert_close(leading.sigmas(), tiny.sigmas())
    leading.save(leading.unet(), tmp_path / "saved")
    saved = EulerAncestralDiscreteScheduler.from_pretrained(tmp_path / "saved" / "scheduler")
    assert saved.config["timestep_spacing"] == "linspace"


def test_without_references_liked_images_are_compared_by_the_held_out_judge(tiny: Sd15) -> None:
    user = ConceptUser({"kind": ["apple", "grape", "banana"]})
    user.meet(tiny)
    images = images_of(tiny, 24)
    bench = Bench(tiny, Measures(diversity=16, per_round=4), Stream(0))
    run = RunView(bench, {"task": "sd15"}, {"final": images[:12]}, images[12:], [{}], [], user)
    found = {row.metric: row.value for row in Diversity().measure(run) if row.stage == "final"}
    assert bench.references is None and found["preferred_distance"] > 0 and found["vendi"] > 1
    assert "coverage" not in found  # it compares with references
    liked = images[:12][torch.from_numpy(user.verdict(images[:12]) > 0.5)]
    embedded: Any = tiny.judges()["held_out"]
    assert found["preferred_distance"] == pytest.approx(torch.pdist(embedded.embed(liked).double()).mean().item())


def test_images_of_known_kind_are_drawn_once_and_for_their_own_prompts(tiny: Sd15) -> None:
    images, shown = tiny.known_images()
    assert tiny.known_images()[0] is images and tiny.condition == "a photo of a fruit"
    noise = stream_noise(Stream(0).at("known", concept=2), (4, *tiny.shape))
    with tiny.prompted("a banana"), torch.no_grad():
        own = tiny.decode(euler_ancestral(tiny.denoiser(Cost()), tiny.sigmas(), noise))
    torch.testing.assert_close(images[shown == 2], own)


@settings(max_examples=20)
@given(k=st.integers(0, 9))
def test_pairs_name_the_preferred_item_first(k: int) -> None:
    task = tiny_sd15.task()
    images = task.known_images()[0][:k]
    user = USERS["sd15"]["grape"].load()
    user.meet(task)
    if k == 0:
        return
    told = user.answer(images, "pairs", Stream(0))
    assert told.pairs is not None and told.pairs.shape == (k // 2, 2)
    assert (told.probability[told.pairs[:, 0]] >= told.probability[told.pairs[:, 1]]).all()
    np.testing.assert_array_equal(np.sort(told.pairs, axis=1), np.arange(k // 2 * 2).reshape(-1, 2))


@given(kinds=st.lists(st.sampled_from("abcd"), min_size=1, max_size=6), wanted=st.sampled_from("abcde"))
def test_the_members_of_a_bank_are_those_of_the_wanted_kind(kinds: list[str], wanted: str) -> None:
    bank = PromptBank([{"kind": kind} for kind in kinds], [["a"]] * len(kinds))
    expected = tuple(i for i, kind in enumerate(kinds) if kind == wanted)
    if expected:
        assert bank.members({"kind": wanted}) == expected
    else:
        with pytest.raises(SettingsError, match="no concept"):
            bank.members({"kind": wanted})


def test_the_self_check_passes_on_base_samples_and_fails_on_one_image(tiny: Sd15, tmp_path: Any) -> None:
    said: list[str] = []
    tiny.prepare(tmp_path, said.append)
    assert "apple" in said[0]
    with pytest.raises(PapaError, match="same scores"):
        tiny.proxy().self_check(images_of(tiny, 1).expand(8, -1, -1, -1))


def test_every_judge_tells_the_same_concepts_apart(task: TextToImage) -> None:
    images = images_of(task, 3)
    for judge in task.judges().values():
        assert judge.probabilities(images).shape == (3, len(task.concepts))
