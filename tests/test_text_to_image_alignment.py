"""Alignment of text-to-image models: whole rounds of every method, adapters, half precision, saved folders."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import tiny
import tiny_sd15
import torch
from torch import Tensor, nn

from papa import align, cli, export
from papa.config import EpapaSettings, PapaSettings
from papa.diffusion.denoiser import Cost, DiffusionDivergedError
from papa.diffusion.lora import add_adapters, merged, twin
from papa.diffusion.losses import accumulate_gradients, unscaled
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.errors import PapaError, SettingsError
from papa.grid import load
from papa.interaction import feedback_from, interact, log_line
from papa.methods.interface import Method
from papa.methods.papa import LOSS_SCALE, Papa
from papa.registry import METHODS, USERS
from papa.rng import Stream
from papa.tasks.digits import Digits
from papa.tasks.sd15 import Sd15
from papa.tasks.text_to_image import TextToImage

LORA: dict[str, Any] = {"trainable": "lora", "lora_rank": 2}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "base": ("base", {}),
    "best_of_n": ("best_of_n", {}),
    "fkc": ("fkc", {}),
    "papa": ("papa", {"lr": 1e-3}),
    "epapa": ("epapa", {"lr": 1e-3}),
    "papa-lora": ("papa", LORA | {"lr": 1e-2, "gradient_checkpointing": True}),
}


@pytest.fixture(scope="module", params=tiny_sd15.TASKS)
def task(request: pytest.FixtureRequest) -> TextToImage:
    return tiny_sd15.either(request.param)


@pytest.fixture(scope="module")
def small() -> Sd15:
    return tiny_sd15.task()


@pytest.fixture(scope="module")
def half() -> Sd15:
    return Sd15(tiny_sd15.settings(model=str(tiny_sd15.pipeline(half=True)), dtype="fp16"))


def base_of(task: TextToImage) -> Any:
    """n -> the first n base latents."""

    def draw(n: int) -> Tensor:
        return euler_ancestral(task.denoiser(Cost()), task.sigmas(), stream_noise(Stream(0), (n, *task.shape)))

    return draw


def build(name: str, task: TextToImage, **given: Any) -> Method[Any]:
    """A variant from above, small."""
    algorithm, own = VARIANTS[name]
    settings = tiny.small(METHODS[algorithm].settings, **(own | given))
    return METHODS[algorithm].load()(settings, task, Stream(0), base_of(task))


def played(method: Method[Any], task: TextToImage, log: Any = ()) -> list[Any]:
    """A whole session with somebody who likes apples."""
    user = USERS["sd15"]["apple"].load()
    user.meet(task)
    return list(interact(method, user, task, Stream(1), tiny.SMALL["labels"], tiny.SMALL["per_round"], log))


def weights(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().float().flatten() for p in net.parameters() if p.requires_grad])


# ---------------------------------------------------------------- rounds


@pytest.mark.parametrize("name", VARIANTS)
def test_whole_sessions_of_every_method(name: str, task: TextToImage) -> None:
    method = build(name, task)
    happened = played(method, task)
    assert [len(h.feedback.liking) for h in happened] == [2, 2, 1]
    assert happened[0].query.condition == [task.condition] * 2
    final = method.sample(3)
    assert final.shape == (3, *task.shape) and torch.isfinite(final).all()
    torch.testing.assert_close(method.sample(3), final, atol=0, rtol=0)
    assert method.cost.forward > 0


@pytest.mark.parametrize("name", ["papa", "epapa", "papa-lora", "fkc"])
def test_state_and_replayed_feedback_give_the_same_method_back(name: str, task: TextToImage) -> None:
    first = build(name, task)
    log = [json.loads(json.dumps(log_line(h))) for h in played(first, task)]
    assert all(np.isfinite(feedback_from(line).liking).all() for line in log)
    restored, replayed = build(name, task), build(name, task)
    restored.restore(copy.deepcopy(first.state()))
    played(replayed, task, log)
    for other in (restored, replayed):
        torch.testing.assert_close(other.sample(2), first.sample(2), atol=0, rtol=0)
        torch.testing.assert_close(other.ask(2).latents, first.ask(2).latents, atol=0, rtol=0)


@pytest.mark.parametrize("trainable", ["all", "lora"])
def test_training_moves_what_is_trained_and_leaves_the_tasks_own_weights(trainable: str, task: TextToImage) -> None:
    before = {name: value.clone() for name, value in task.pipe.unet.state_dict().items()}
    method = build("papa-lora", task, trainable=trainable)
    start = weights(method.unet)
    played(method, task)
    assert (weights(method.unet) - start).abs().max() > 1e-4
    for name, value in task.pipe.unet.state_dict().items():
        torch.testing.assert_close(value, before[name], atol=0, rtol=0)


@pytest.mark.parametrize("trainable", ["all", "lora"])
def test_without_a_preference_term_nothing_moves(trainable: str, task: TextToImage) -> None:
    method = build("papa-lora", task, trainable=trainable, c_pref=0)
    start = weights(method.unet)
    played(method, task)
    torch.testing.assert_close(weights(method.unet), start, atol=0, rtol=0)


@pytest.mark.parametrize("trainable", ["all", "lora"])
def test_the_loss_does_not_depend_on_the_chunk(trainable: str, task: TextToImage) -> None:
    found = []
    for chunk in (1, 4, 64):
        method = build("papa-lora", task, trainable=trainable, timesteps=2)
        if trainable == "lora":  # away from B = 0, where A has no gradient
            with torch.no_grad():
                for name, p in method.trained.items():
                    p.copy_(torch.from_numpy(Stream(7).at(name).normal(*p.shape)) * 0.1)
        x0 = torch.from_numpy(Stream(2).normal(3, *task.shape))
        pairs = method.pairs(np.array([1.0, -1.0, 1.0]), Stream(4))
        noise, frozen = method._noise(Stream(3), 2), build("papa", task).base
        assert method.alphas_cumprod is not None
        losses = accumulate_gradients(
            method.unet, frozen, frozen, method.alphas_cumprod, x0, noise, pairs, chunk, Cost()
        )
        found.append((losses, torch.cat([p.grad.flatten() for p in method.trained.values()])))
    for losses, gradient in found[1:]:
        assert losses == pytest.approx(found[0][0], abs=1e-5)
        torch.testing.assert_close(gradient, found[0][1], atol=1e-5 * float(found[0][1].abs().max()), rtol=1e-3)


def test_gradient_checkpointing_changes_memory_not_the_gradient(task: TextToImage) -> None:
    samples = []
    for checkpointing in (False, True):
        method = build("papa", task, gradient_checkpointing=checkpointing)
        assert any(getattr(m, "gradient_checkpointing", False) for m in method.unet.modules()) is checkpointing
        played(method, task)
        samples.append(method.sample(2))
    torch.testing.assert_close(samples[0], samples[1], atol=1e-4, rtol=1e-4)


# ---------------------------------------------------------------- adapters


def test_untrained_adapters_are_the_base_exactly_and_share_its_weights(task: TextToImage) -> None:
    method = build("papa-lora", task)
    y = torch.from_numpy(Stream(1).normal(3, *task.shape))
    with torch.no_grad():
        expected = task.denoiser(Cost())(y, 1.5)
        torch.testing.assert_close(task.denoiser(Cost(), method.unet)(y, 1.5), expected, atol=0, rtol=0)
    own = {p.data_ptr() for p in task.pipe.unet.parameters()}
    for net in (method.unet, method.base):
        assert {p.data_ptr() for p in net.parameters() if not p.requires_grad} == own
    trained = {p for group in method.optimizer.param_groups for p in group["params"]}
    assert trained == {p for p in method.unet.parameters() if p.requires_grad}
    assert all("lora_" in name for name in method.trained) and len(method.trained) > 0
    assert not trained & set(method.base.parameters())


def test_the_first_adapters_come_from_the_methods_stream_and_leave_the_global_generator_alone(small: Sd15) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    one, two = build("papa-lora", small), build("papa-lora", small)
    torch.testing.assert_close(torch.rand(2), expected, atol=0, rtol=0)
    torch.testing.assert_close(weights(one.unet), weights(two.unet), atol=0, rtol=0)
    assert weights(one.unet).abs().max() > 0


def test_merged_adapters_predict_the_same_and_have_the_plain_architecture(small: Sd15) -> None:
    method = build("papa-lora", small)
    played(method, small)
    plain = merged(method.unet)
    assert set(plain.state_dict()) == {f"unet.{name}" for name in small.pipe.unet.state_dict()}
    x, t = torch.from_numpy(Stream(1).normal(2, *small.shape)), torch.tensor([500.0, 20.0])
    with torch.no_grad():
        torch.testing.assert_close(plain(x, t).sample, method.unet(x, t).sample, atol=1e-5, rtol=1e-4)
        assert (plain(x, t).sample - method.base(x, t).sample).abs().max() > 1e-4


def test_adapters_want_attention_layers() -> None:
    with pytest.raises(SettingsError, match="trainable: all"):
        add_adapters(nn.Sequential(nn.Conv2d(1, 1, 3)).requires_grad_(False), 2, Stream(0))


def test_a_twin_shares_what_is_frozen_alone() -> None:
    net = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2))
    copied = twin(net)
    assert copied[0].weight is net[0].weight and copied[1].weight is not net[1].weight


# ---------------------------------------------------------------- half precision


@pytest.mark.parametrize("given", [{}, LORA])
def test_half_precision_trains_float32_weights_with_a_scaled_loss(given: dict[str, Any], half: Sd15) -> None:
    method = build("papa", half, **given)
    assert method.loss_scale == LOSS_SCALE and {p.dtype for p in method.trained.values()} == {torch.float32}
    if given:
        assert {p.dtype for p in method.unet.parameters() if not p.requires_grad} == {torch.float16}
    start = weights(method.unet)
    played(method, half)
    assert method.sample(2).dtype == torch.float32 and torch.isfinite(method.sample(2)).all()
    assert (weights(method.unet) - start).abs().max() > 0
    assert method.diagnostics()["loss_scale"] <= LOSS_SCALE


def test_half_precision_gradients_agree_with_float32(half: Sd15, small: Sd15) -> None:
    found = []
    for task in (half, small):
        method = build("papa", task, timesteps=2)
        x0 = torch.from_numpy(Stream(2).normal(4, *task.shape))
        pairs = method.pairs(np.array([1.0, -1.0, 1.0, 1.0]), Stream(4))
        losses = method._gradient(x0, method._noise(Stream(3), 2), pairs)
        found.append((losses, torch.cat([p.grad.flatten() for p in method.trained.values()])))
    (rounded, in_half), (exact, in_full) = found
    assert rounded == pytest.approx(exact, abs=2e-3)
    assert torch.nn.functional.cosine_similarity(in_half, in_full, dim=0) > 0.999


def test_an_infinite_gradient_halves_the_scale_and_loses_no_update(half: Sd15) -> None:
    method = build("papa", half)
    method.loss_scale = 2.0**32
    start = weights(method.unet)
    played(method, half)
    assert method.loss_scale < 2.0**32
    assert torch.isfinite(weights(method.unet)).all() and (weights(method.unet) - start).abs().max() > 0


def test_a_gradient_that_is_never_finite_is_divergence(half: Sd15, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("papa.methods.papa.unscaled", lambda *args: False)
    method = build("papa", half)
    method.loss_scale = 4.0
    with pytest.raises(DiffusionDivergedError, match="gradient"):
        played(method, half)


def test_dividing_the_scale_out_is_exact() -> None:
    parameter = nn.Parameter(torch.zeros(1000))
    values = torch.from_numpy(Stream(0).normal(1000))
    parameter.grad = values * LOSS_SCALE
    assert unscaled([parameter], LOSS_SCALE)
    torch.testing.assert_close(parameter.grad, values, atol=0, rtol=0)
    parameter.grad[3] = torch.inf
    assert not unscaled([parameter], 2.0)


def test_float32_has_no_scale(small: Sd15, digits: Digits) -> None:
    assert build("papa", small).loss_scale is None and "loss_scale" not in build("papa", small).diagnostics()
    assert Papa(tiny.small(PapaSettings), digits, Stream(0), lambda n: torch.zeros(0)).loss_scale is None


# ---------------------------------------------------------------- saved folders


@pytest.mark.parametrize("name", ["papa", "papa-lora"])
def test_a_saved_model_draws_the_same_images_in_diffusers(
    name: str, task: TextToImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_text_to_image import by_diffusers

    method = build(name, task)
    played(method, task)
    task.save(method.aligned(), tmp_path / "aligned")
    index = json.loads((tmp_path / "aligned" / "model_index.json").read_text())
    assert index["scheduler"] == ["diffusers", "EulerAncestralDiscreteScheduler"]
    pipe = tiny_sd15.reference(tmp_path / "aligned", torch_dtype=torch.float32)
    noise = stream_noise(method.stream.at("sample"), (3, *task.shape))
    found = by_diffusers(pipe, task, noise, 3, monkeypatch)
    torch.testing.assert_close(found, method.sample(3), atol=1e-4, rtol=1e-4)
    assert (found - base_of(task)(3)).abs().max() > 1e-4


def test_epapa_says_why_it_is_not_one_folder(task: TextToImage) -> None:
    with pytest.raises(SettingsError, match="two networks"):
        build("epapa", task).aligned()
    Papa(tiny.small(EpapaSettings, frozen_below=0), task, Stream(0), base_of(task)).aligned()


@pytest.mark.parametrize("name", ["base", "fkc"])
def test_methods_that_train_no_network_have_nothing_to_save(name: str, small: Sd15) -> None:
    with pytest.raises(PapaError, match="no aligned model"):
        build(name, small).aligned()


def test_export_replays_the_feedback_and_writes_the_folder(
    tmp_path: Path, small_blocks: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    block = {"task": "sd15", "methods": ["papa", "fkc"], "users": ["apple"], "seeds": [0, 1]}
    data = tiny.config(tmp_path, block, tasks={"sd15": tiny_sd15.settings(steps=2).model_dump()})
    data["methods"]["papa"] |= LORA | {"lr": 1e-2}
    data["measures"]["retention"] = 4
    path, axes = str(tiny.write(tmp_path, data)), ["--task", "sd15", "--user", "apple"]
    half = tmp_path / "out" / ".seed0.new" / "unet"  # of an export that was killed
    half.mkdir(parents=True)
    for command in (["align", "--method", "papa"], ["export", "--method", "papa", "--to", str(tmp_path / "out")]):
        assert cli.main([*command, "--config", path, *axes]) == 0
    assert {place.name for place in (tmp_path / "out").iterdir()} == {"seed0", "seed1"}
    said = capsys.readouterr().err
    assert "differ" not in said and "as after 5 labels" in said
    pipe = tiny_sd15.reference(tmp_path / "out" / "seed1")
    changed = pipe.unet.state_dict()["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"]
    own = tiny_sd15.task().pipe.unet.state_dict()["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"]
    assert (changed - own).abs().max() > 1e-4

    spec = load(path).select("sd15", "papa", "apple", [1])[0]
    assert json.loads((tmp_path / "out" / "seed1" / "papa.json").read_text()) == {
        **{"prompt": "a photo of a fruit", "guidance_scale": 7.5, "steps": 2},
        **{"scheduler": type(pipe.scheduler).__name__, "key": spec.key},
        **{"task": "sd15", "method": "papa", "user": "apple", "seed": 1},
    }

    monkeypatch.setattr(align, "interact", None)  # nothing is aligned again
    assert cli.main(["export", "--method", "fkc", "--to", str(tmp_path / "no"), "--config", path, *axes]) == 2
    assert "no record" in capsys.readouterr().err and not (tmp_path / "no").exists()


def exported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Export a tiny model without a run behind it; what was logged."""
    (spec,) = tiny.grid(folder.parent, tiny.PLANE | {"methods": ["base"], "seeds": [0]}).select()
    task, said = tiny_sd15.task(), []
    aligned = SimpleNamespace(aligned=lambda: task.pipe.unet)
    monkeypatch.setattr(export, "replayed", lambda *given: (aligned, 0))
    export.export(spec, cast(Any, None), task, folder, said.append)
    return said


def test_export_takes_an_empty_folder_and_refuses_what_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, file = tmp_path / "model", tmp_path / "file"
    folder.mkdir()
    file.touch()
    assert "written" in exported(folder, monkeypatch)[0] and tiny_sd15.reference(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for taken in (folder, file):
        with pytest.raises(SettingsError, match="choose another folder with --to, or delete it"):
            exported(taken, monkeypatch)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_an_export_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("papa.tasks.text_to_image.write_json", full)  # the last file of the folder
    with pytest.raises(PapaError, match=r"No space left.*run the same command again"):
        exported(tmp_path / "model", monkeypatch)
    assert not list(tmp_path.glob("*model*"))
