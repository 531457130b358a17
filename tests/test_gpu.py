"""On a CUDA machine: every method runs there, and float32 results agree with the CPU's.

pytest -m gpu
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import tiny, tiny_sd15
from support.playing import rounds_of
from support.users_of import user_of

from papa.benchmark.config import Config
from papa.benchmark.grid import Grid
from papa.benchmark.machine import memory_advice
from papa.benchmark.runs.align import align
from papa.benchmark.runs.record import read_record
from papa.benchmark.tasks.pipeline.task import PipelineTask
from papa.benchmark.tasks.text_to_image import TextToImage
from papa.commands import open_task
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.methods import declaration
from papa.rng import Stream

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

METHODS = {
    "base": {"labels": 8},
    "best_of_n": {"labels": 8, "n": 2},
    "papa": {"labels": 8, "updates": 1},
    "epapa": {"labels": 8, "updates": 1},
    "fkc": {"labels": 16, "particles": 8, "surrogate": {"epochs": 5}},
}


def shown(folder: Path, device: str, method: str) -> torch.Tensor:
    """The images of the first round (before anything was learned) of one run on a device."""
    config = Config.model_validate(
        {
            "results": str(folder / device),
            "device": device,
            "measures": {"final": 32, "per_round": 8, "base": 64},
            "methods": METHODS,
            "grid": {"g": {"task": "digits", "methods": list(METHODS), "users": ["likes-1479"], "seeds": [0]}},
        }
    )
    grid = Grid(config)
    (spec,) = grid.select(method=method)
    align(spec, open_task(spec.of, spec.config, 1, device), lambda message: None)
    return torch.from_numpy(read_record(spec.folder, spec.key).arrays()["shown"][:8]).float()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_on_cuda_and_starts_as_on_the_cpu(method: str, tmp_path: Path) -> None:
    difference = (shown(tmp_path, "cuda", method) - shown(tmp_path, "cpu", method)).abs()
    assert difference.max() <= 2  # of 255 grey levels


# ---------------------------------------------------------------- text to image


def drawn(task: TextToImage, n: int = 8) -> torch.Tensor:
    """Base latents of a task, on the CPU, from the same noise on every device."""
    noise = stream_noise(Stream(0), (n, *task.model.shape), task.model.dtype, task.model.device)
    return euler_ancestral(task.model.denoiser(Cost()), task.model.sigmas(), noise).cpu()


@pytest.mark.parametrize("half_files", [False, True])
def test_half_precision_draws_what_float32_draws(half_files: bool) -> None:
    model = str(tiny_sd15.pipeline(half=half_files))
    half = PipelineTask(tiny_sd15.settings(model=model), "cuda")
    full = PipelineTask(tiny_sd15.settings(model=model, dtype="fp32"), "cuda")
    assert half.model.pipe.unet.dtype == torch.float16 and full.model.pipe.unet.dtype == torch.float32
    exact = drawn(full)
    difference = (drawn(half) - exact).abs()
    print(f"fp16 against fp32: mean {difference.mean():.2g}, largest {difference.max():.2g}, spread {exact.std():.2g}")
    assert 0 < difference.mean() < 0.01 * exact.std() and difference.max() < 0.1 * exact.std()


@pytest.mark.parametrize("name", tiny_sd15.TASKS)
def test_float32_draws_on_cuda_what_it_draws_on_the_cpu(name: str) -> None:
    on_cpu = tiny_sd15.either(name)
    given = on_cpu.settings.model_copy(update={"dtype": "fp32"} if name == "sd15" else {})
    torch.testing.assert_close(drawn(type(on_cpu)(given, "cuda")), drawn(on_cpu), atol=0.02, rtol=0.01)


SESSIONS = {
    "papa": ("papa", {}),
    "epapa": ("epapa", {}),
    "papa-lora": ("papa", {"trainable": "lora", "gradient_checkpointing": True}),
    "fkc": ("fkc", {}),
    "best_of_n": ("best_of_n", {}),
}


@pytest.mark.parametrize("name", SESSIONS)
def test_sessions_in_half_precision(name: str) -> None:
    task = PipelineTask(tiny_sd15.settings(), "cuda")
    algorithm, given = SESSIONS[name]
    settings = tiny.small(declaration(algorithm).settings, **given)
    method = declaration(algorithm).method(settings, task.model, Stream(0), lambda n: drawn(task, n).cuda())
    user = user_of("sd15", "apple")
    user.calibrate(task)
    for happened in rounds_of(method, user, Stream(1), settings.labels, settings.per_round):
        assert torch.isfinite(happened.question.images).all()
    found = method.sample(3)
    assert found.dtype == torch.float32 and torch.isfinite(found).all()
    if algorithm in ("papa", "epapa"):
        assert {p.dtype for p in method.trained.values()} == {torch.float32}


def test_a_full_gpu_is_known_for_what_it_is() -> None:
    with pytest.raises(torch.OutOfMemoryError) as raised:
        torch.empty(2**44, dtype=torch.uint8, device="cuda")
    assert "tasks.sd15.chunk" in str(memory_advice(raised.value, "sd15"))
