"""Every family of diffusers' pipelines as a model, from its folder on disk to an aligned folder in plain diffusers."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from support import tiny_families
from support.tiny import SMALL
from torch import Tensor

from papa import Model, Session
from papa.diffusion.denoiser import Cost
from papa.errors import ArtefactError, ModelError, SettingsError
from papa.methods import declaration
from papa.models.opening import LEFT_OUT
from papa.models.pipeline import PipelineModel

STEPS, N, PROMPT = 5, 2, "a pear"
METHODS = ["best_of_n", "fkc", "papa", "epapa"]


def opened(name: str, **given: Any) -> Model:
    """The model of a family's folder; of 8x8 latents."""
    if name == "DDPM":
        return Model.from_pretrained(tiny_families.folder(name), steps=STEPS, **given)
    return Model.from_pretrained(tiny_families.folder(name), PROMPT, steps=STEPS, size=16, **given)


def plain(folder: Path) -> Any:
    """A folder as diffusers loads it, without this package."""
    name = json.loads((folder / "model_index.json").read_text())["_class_name"]
    missing = {part: None for part in LEFT_OUT.get(name, ()) if not (folder / part).exists()}
    pipe: Any = diffusers.DiffusionPipeline
    pipe = pipe.from_pretrained(folder, local_files_only=True, **missing)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def chain(pipe: Any, start: Tensor, scale: float) -> tuple[list[Tensor], list[float]]:
    """What a plain pipeline's own deterministic loop passes through, in the VE view, with its levels."""
    states: list[Tensor] = []

    def keep(pipe: Any, step: int, t: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        states.append(tensors["latents"].clone())
        return tensors

    flux, flow = type(pipe).__name__ == "FluxPipeline", hasattr(pipe, "transformer")
    given = pipe._pack_latents(start, N, 4, 8, 8) if flux else start
    pipe(
        [PROMPT] * N,
        height=16,
        width=16,
        num_inference_steps=STEPS,
        guidance_scale=scale,
        latents=given,
        output_type="latent",
        callback_on_step_end=keep,
    )
    if flux:
        states = [pipe._unpack_latents(state, 16, 16, pipe.vae_scale_factor) for state in states]
    scheduler = pipe.scheduler
    if flow:
        tau = scheduler.sigmas.double()
        levels = (tau / (1 - tau)).tolist()
        scales = (1 / (1 - tau)).tolist()
    else:
        abar = [float(scheduler.alphas_cumprod[t]) for t in scheduler.timesteps] + [1.0]
        levels, scales = [((1 - a) / a) ** 0.5 for a in abar], [a**-0.5 for a in abar]
    return [scale * state.double() for scale, state in zip(scales[1:], states, strict=True)], levels


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("name", tiny_families.PROMPTED)
def test_the_denoiser_is_the_pipelines_own_model(name: str, scale: float) -> None:
    """Every step of the pipeline's loop is the Euler step of the denoiser, on the same noise."""
    model = opened(name, guidance_scale=scale)
    start = torch.randn(N, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    states, levels = chain(plain(tiny_families.folder(name)), start, scale)
    denoise, moved = model.denoiser(Cost()), 0.0
    for (y, after), (sigma, low) in zip(
        itertools.pairwise(states), itertools.pairwise(levels[1:]), strict=True
    ):  # the first step of a flow begins at an infinite level
        x0 = denoise(y.float(), sigma).double()
        torch.testing.assert_close(after, x0 + low / sigma * (y - x0), rtol=2e-3, atol=2e-3)
        moved = max(moved, float((after - y).abs().max()))
    assert moved > 0.05, "the chain moves"


@pytest.mark.parametrize("name", tiny_families.PROMPTED)
def test_the_prompt_and_the_guidance_reach_the_network(name: str) -> None:
    y = torch.randn(N, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    model, stronger = opened(name, guidance_scale=2.0), opened(name, guidance_scale=6.0)
    found = model.denoiser(Cost())(y, 1.0)
    with model.prompted("seven green apples"):
        assert not torch.allclose(model.denoiser(Cost())(y, 1.0), found)
    torch.testing.assert_close(model.denoiser(Cost())(y, 1.0), found, rtol=0, atol=0)
    assert not torch.allclose(stronger.denoiser(Cost())(y, 1.0), found)
    assert model.evaluations_per_step == (1 if name == "Flux" else 2)


@pytest.mark.parametrize("name", tiny_families.MAKERS)
def test_what_is_decoded_is_what_the_pipeline_decodes(name: str) -> None:
    model = opened(name)
    latents = Session(model, "base", labels=2, per_round=2).method.sample(N)
    images = model.decode(latents)
    assert images.shape == (N, *((1, 8, 8) if name == "DDPM" else (3, 16, 16))) and images.isfinite().all()
    if isinstance(model, PipelineModel):
        vae = model.pipe.vae
        z = latents / vae.config.scaling_factor + (vae.config.shift_factor or 0)
        torch.testing.assert_close(images, vae.decode(z).sample.clamp(-1, 1), rtol=1e-5, atol=1e-5)
        shown = model.unpack(model.pack(images)[:1])
        assert model.encode(shown).shape == (1, *model.shape)


def switches(folder: Path, name: str) -> bool:
    """Whether each network of the pipeline that EPAPA saves answers in its own part of the chain, and both do."""
    loader: Any = diffusers.DiffusionPipeline
    missing = {part: None for part in LEFT_OUT.get(tiny_families.MADE[name], ()) if not (folder / part).exists()}
    pipe = loader.from_pretrained(folder, custom_pipeline=str(folder), trust_remote_code=True, **missing)
    pipe.set_progress_bar_config(disable=True)
    assert type(pipe).__name__ == "SwitchedPipeline"
    part = "transformer" if hasattr(pipe, "transformer") else "unet"
    least, asked = json.loads((folder / "papa.json").read_text())["aligned_from"], {"noisy": [], "clean": []}

    def note(which: str) -> Any:
        def hook(module: Any, args: Any, kwargs: Any) -> None:
            time = kwargs["timestep"] if "timestep" in kwargs else args[1]
            asked[which].append(float(torch.as_tensor(time).flatten()[0]))

        return hook

    noisy = getattr(pipe, part)
    pipe._clean = type(noisy).from_pretrained(folder / f"clean_{part}")
    noisy.register_forward_pre_hook(note("noisy"), with_kwargs=True)
    pipe._clean.register_forward_pre_hook(note("clean"), with_kwargs=True)
    given = {} if name == "DDPM" else {"prompt": PROMPT, "height": 16, "width": 16}
    pipe(**given, num_inference_steps=8)
    return min(asked["noisy"]) >= least > max(asked["clean"]) and getattr(pipe, part) is noisy


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", tiny_families.MAKERS)
def test_every_family_is_aligned_saved_and_drawn_in_plain_diffusers(name: str, method: str, tmp_path: Path) -> None:
    model = opened(name)
    settings = {key: value for key, value in SMALL.items() if key in declaration(method).settings.model_fields}
    session = Session(model, method, settings=settings | {"labels": 4, "per_round": 2})
    for question in session:
        session.answer([True, False][: len(question.images)])
    assert session.sample(N).isfinite().all()
    if method in ("best_of_n", "fkc"):
        with pytest.raises(ModelError, match="leaves the model's weights as they are"):
            session.save(tmp_path / "aligned")
        return
    folder = session.save(tmp_path / "aligned")
    pipe = plain(folder)
    if method == "epapa":
        assert switches(folder, name)
    part = "transformer" if hasattr(pipe, "transformer") else "unet"
    before = plain(tiny_families.folder(name))
    changed = [
        not torch.equal(value, getattr(before, part).state_dict()[key])
        for key, value in getattr(pipe, part).state_dict().items()
    ]
    assert any(changed), "the network was trained"
    drawn = pipe(num_inference_steps=2) if name == "DDPM" else pipe(PROMPT, height=16, width=16, num_inference_steps=2)
    assert drawn.images[0].size == ((8, 8) if name == "DDPM" else (16, 16))
    again = Model.from_pretrained(
        folder, None if name == "DDPM" else PROMPT, **({} if name == "DDPM" else {"size": 16})
    )
    assert again.shape == model.shape


@pytest.mark.parametrize("name", tiny_families.MAKERS)
def test_a_surrogate_on_the_models_own_activations_learns_on_every_family(name: str) -> None:
    settings = {"n": 2, "surrogate": {"kind": "features", "reference": 4}}
    session = Session(opened(name), "best_of_n", labels=4, per_round=4, settings=settings)
    session.ask()
    session.answer([True, False, True, False])
    assert session.sample(2).isfinite().all()


def test_a_pipeline_in_memory_is_the_same_model() -> None:
    pipe = plain(tiny_families.folder("Stable Diffusion 3"))
    model = Model.from_pipeline(pipe, PROMPT, steps=STEPS, size=16)
    y = torch.randn(1, 4, 8, 8)
    assert torch.equal(model.denoiser(Cost())(y, 2.0), opened("Stable Diffusion 3").denoiser(Cost())(y, 2.0))
    assert isinstance(model, PipelineModel) and model.settings.guidance_scale == 7.0, "diffusers' own for the class"


# ---------------------------------------------------------------- bad input


def test_what_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    for place, word in ((tmp_path / "nowhere", "is no folder"), (tmp_path, "model_index.json")):
        with pytest.raises(ArtefactError, match=word):
            Model.from_pretrained(place, PROMPT)
    (tmp_path / "model_index.json").write_text('{"_class_name": "KandinskyPipeline"}')
    with pytest.raises(ModelError, match=r"KandinskyPipeline, which is not supported.*FluxPipeline"):
        Model.from_pretrained(tmp_path, PROMPT)
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline", "vae": ["diffusers", "AutoencoderKL"]}')
    with pytest.raises(ArtefactError, match="cannot be loaded"):
        Model.from_pretrained(tmp_path, PROMPT)


def test_a_prompt_where_there_is_none_and_none_where_one_is_needed() -> None:
    with pytest.raises(ModelError, match="without a prompt"):
        Model.from_pretrained(tiny_families.folder("DDPM"), PROMPT)
    with pytest.raises(ModelError, match="draws for a prompt"):
        Model.from_pretrained(tiny_families.folder("Flux"))


@pytest.mark.parametrize("name", tiny_families.PROMPTED)
def test_a_prompt_that_is_too_long_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="shorten it"):
        Model.from_pretrained(tiny_families.folder(name), "a" * 600, size=16)


@pytest.mark.parametrize("name", tiny_families.PROMPTED)
def test_a_size_that_cannot_be_drawn_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="multiple of 4"):
        Model.from_pretrained(tiny_families.folder(name), PROMPT, size=18)


def test_a_setting_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(SettingsError, match="guidance_scale"):
        Model.from_pretrained(tiny_families.folder("Stable Diffusion"), PROMPT, guidance=3)


def test_a_flow_with_another_scheduler_is_refused() -> None:
    pipe = plain(tiny_families.folder("Flux"))
    pipe.scheduler = diffusers.DDIMScheduler()
    with pytest.raises(ModelError, match="FlowMatchEulerDiscreteScheduler"):
        Model.from_pipeline(pipe, PROMPT, size=16)


def test_a_transformer_cannot_be_told_about_a_person() -> None:
    model = opened("Flux")
    assert isinstance(model, PipelineModel)
    with pytest.raises(ModelError, match="has no UNet"):
        model.with_user_attention(lambda unet: None)
