"""Every family of pipelines as a model: its denoiser, prompts, decoding, and aligned folders, opened again."""

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
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.errors import ModelError
from papa.methods import declaration
from papa.models.pipeline import PipelineModel
from papa.models.switched_pipeline import switched

STEPS, N, PROMPT = 5, 2, "a pear"
METHODS = ["fkc", "papa", "epapa"]


def opened(name: str, **given: Any) -> Model:
    """The model of a family's folder; of 8x8 latents."""
    if name == "DDPM":
        return Model.from_pretrained(tiny_families.folder(name), steps=STEPS, chunk=4, **given)
    return Model.from_pretrained(tiny_families.folder(name), PROMPT, steps=STEPS, chunk=4, size=16, **given)


def missing(folder: Path) -> dict[str, None]:
    """The optional parts that a folder lacks: plain diffusers is told to load none."""
    name = json.loads((folder / "model_index.json").read_text())["_class_name"]
    parts = {
        "StableDiffusionPipeline": ("safety_checker", "feature_extractor"),
        "StableDiffusion3Pipeline": ("text_encoder_3", "tokenizer_3"),
    }
    return {part: None for part in parts.get(name, ()) if not (folder / part).exists()}


def plain(folder: Path, **given: Any) -> Any:
    """A folder as diffusers loads it, without this package."""
    pipe: Any = diffusers.DiffusionPipeline
    pipe = pipe.from_pretrained(folder, local_files_only=True, **missing(folder), **given)
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


def switches(pipe: Any, folder: Path, name: str) -> bool:
    """Whether the custom pipeline of an EPAPA folder uses each of its networks for its own timesteps."""
    assert type(pipe).__name__ == "SwitchedPipeline"
    part = "transformer" if hasattr(pipe, "transformer") else "unet"
    noisy, asked = getattr(pipe, part), {"noisy": [], "clean": []}
    pipe._switch = switched(noisy, folder, part)

    def record(which: str) -> Any:
        def hook(module: Any, args: Any, kwargs: Any) -> None:
            time = kwargs["timestep"] if "timestep" in kwargs else args[1]
            asked[which].append(float(torch.as_tensor(time).flatten()[0]))

        return hook

    for which in asked:
        getattr(pipe._switch, which).register_forward_pre_hook(record(which), with_kwargs=True)
    given = {} if name == "DDPM" else {"prompt": PROMPT, "height": 16, "width": 16}
    pipe(**given, num_inference_steps=8)
    return min(asked["noisy"]) >= pipe._switch.least > max(asked["clean"]) and getattr(pipe, part) is noisy


def sampled(model: Model, session: Session) -> Tensor:
    """Samples of a model from the noise of a session's final samples."""
    noise = stream_noise(session.method.stream.at("sample"), (N, *model.shape))
    return euler_ancestral(model.denoiser(Cost()), model.sigmas(), noise)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", tiny_families.MAKERS)
def test_every_family_is_aligned_saved_and_opened_again(name: str, method: str, tmp_path: Path) -> None:
    model: Any = opened(name)
    settings = {key: value for key, value in SMALL.items() if key in declaration(method).settings.model_fields}
    session = Session(model, method, settings=settings | {"labels": 4, "per_round": 2})
    for question in session:
        session.answer([True, False][: len(question.images)])
    ours = session.method.sample(N)
    assert ours.isfinite().all()
    if method == "fkc":
        with pytest.raises(ModelError):
            session.save(tmp_path / "aligned")
        return
    folder = session.save(tmp_path / "aligned")
    pipe, part = plain(folder), "unet" if hasattr(model, "_unet") else model.family.network
    before = getattr(plain(tiny_families.folder(name)), part).state_dict()
    weights = getattr(pipe, part).state_dict()
    assert any(not torch.equal(value, before[key]) for key, value in weights.items()), "the network was trained"
    drawn = pipe(num_inference_steps=2) if name == "DDPM" else pipe(PROMPT, height=16, width=16, num_inference_steps=2)
    assert drawn.images[0].size == ((8, 8) if name == "DDPM" else (16, 16))
    given: dict[str, Any] = {"steps": STEPS} if name == "DDPM" else {"prompt": PROMPT, "steps": STEPS, "size": 16}
    again = Model.from_pretrained(folder, **given)
    torch.testing.assert_close(sampled(again, session), ours, atol=1e-4, rtol=1e-4)
    if method == "epapa":
        custom = {"custom_pipeline": str(folder), "trust_remote_code": True}
        assert switches(plain(folder, **custom), folder, name)
        again = Model.from_pipeline(plain(folder, **custom), **given)
        torch.testing.assert_close(sampled(again, session), ours, atol=1e-4, rtol=1e-4)
        assert Session(again, "fkc", labels=4, per_round=2).ask()
        with pytest.raises(ModelError, match="two networks"):
            Session(again, "papa", labels=4, per_round=2)


@pytest.mark.parametrize("name", ["Stable Diffusion", "Flux", "DDPM"])
def test_a_surrogate_on_the_models_own_activations_learns(name: str) -> None:
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
