"""Bad input on the text-to-image path: each a paragraph that says what to do, and nothing finished lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import tiny_sd15
import torch
from diffusers import StableDiffusionPipeline
from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError
from pydantic import ValidationError
from tiny import assert_paragraph

from papa import cli, grid
from papa.config import ClipSettings, PapaSettings, Sd15Settings
from papa.errors import ArtefactError, PapaError, SettingsError
from papa.machine import memory_advice
from papa.provenance import file_sha256
from papa.tasks import hub, sd15_needs
from papa.tasks.sd15 import Sd15

LONG = "a photo of " + "very " * 40 + "ripe fruit"


@pytest.fixture(autouse=True)
def nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and an empty cache."""
    monkeypatch.setattr(hub, "offline", lambda: True)
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(hub.constants, name, str(tmp_path / "no-cache"), raising=False)


def refused(error: type[PapaError], act: Callable[[], Any], *words: str) -> None:
    with pytest.raises(error) as raised:
        act()
    assert_paragraph(str(raised.value), *words)


def copied(tmp_path: Path, half: bool = False) -> Path:
    return Path(shutil.copytree(tiny_sd15.pipeline(half), tmp_path / "model"))


# ---------------------------------------------------------------- prompts and banks


def test_a_prompt_that_the_tokenizer_would_cut() -> None:
    task = tiny_sd15.task()
    refused(SettingsError, lambda: task.embedding(LONG), "reads 75", "shorten it")
    refused(SettingsError, lambda: Sd15(tiny_sd15.settings(prompt=LONG)), "shorten it")
    assert task.embedding("a" * 75).shape == (1, 77, 16)  # every letter is a token: this one just fits


@pytest.mark.parametrize("prompts", [[], [" "]])
def test_a_concept_without_a_prompt(prompts: list[str]) -> None:
    settings = tiny_sd15.settings(bank=tiny_sd15.BANK | {"grape": prompts})
    refused(SettingsError, lambda: Sd15(settings), "no prompt for 'grape'")


def test_a_bank_without_a_concept() -> None:
    refused(SettingsError, lambda: Sd15(tiny_sd15.settings(bank={})), "bank is empty")


def test_a_user_whose_concept_is_not_in_the_bank() -> None:
    task = Sd15(tiny_sd15.settings(bank={"lemon": ["a lemon"], "grape": ["grapes"]}))
    from papa.registry import USERS

    refused(SettingsError, lambda: USERS["sd15"]["apple"].load().meet(task), "apple", "it has lemon, grape")


def test_a_prompt_of_the_bank_that_the_proxy_would_cut() -> None:
    task = Sd15(tiny_sd15.settings(bank=tiny_sd15.BANK | {"grape": [LONG]}))
    refused(SettingsError, task.proxy, "the proxy reads 14", "shorten it")


def test_a_model_of_another_prediction_type(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(tiny_sd15.SCHEDULER | {"prediction_type": "v_prediction"}))
    refused(SettingsError, lambda: Sd15(tiny_sd15.settings(model=str(folder))), "v_prediction", "epsilon")


# ---------------------------------------------------------------- weights


def test_weights_that_are_nowhere() -> None:
    words = ("stable-diffusion-v1-5", "2.1 GB", "hf download", "tasks.sd15.model")
    refused(ArtefactError, lambda: hub.pipeline_folder(Sd15Settings()), *words)
    refused(ArtefactError, lambda: hub.pipeline_folder(Sd15Settings(model="/no/such/folder")), "/no/such/folder")


@pytest.mark.parametrize(
    "name", ["unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json", "tokenizer/vocab.json"]
)
def test_a_folder_that_lacks_a_file(name: str, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    (folder / name).unlink()
    refused(ArtefactError, lambda: Sd15(tiny_sd15.settings(model=str(folder))), "lacks", name.split("/")[0])


def test_a_weight_file_that_is_cut_short(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    refused(ArtefactError, lambda: Sd15(tiny_sd15.settings(model=str(folder))), "cannot be loaded", "hf download")


def test_a_weight_file_of_another_sha256(tmp_path: Path) -> None:
    folder, name = copied(tmp_path), "unet/diffusion_pytorch_model.safetensors"
    right = {name: file_sha256(folder / name)}
    assert hub.pipeline_folder(tiny_sd15.settings(model=str(folder), sha256=right)) == folder
    wrong = tiny_sd15.settings(model=str(folder), sha256={name: "0" * 64})
    refused(ArtefactError, lambda: Sd15(wrong), "says 0000000000000000", "damaged or of another model")


def test_the_wanted_variant_is_taken_where_it_is_whole(tmp_path: Path) -> None:
    half, full = tiny_sd15.pipeline(half=True), tiny_sd15.pipeline()
    assert hub.variant_in(half, "fp16") == "fp16" and hub.variant_in(full, "fp16") is None
    folder = copied(tmp_path, half=True)
    (folder / "vae" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    refused(ArtefactError, lambda: hub.pipeline_folder(tiny_sd15.settings(model=str(folder))), "vae/diffusion")


def test_the_hubs_cache_is_a_folder_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def snapshot(**given: Any) -> str:
        asked.append(given)
        return str(tiny_sd15.pipeline())

    monkeypatch.setattr(hub.huggingface_hub, "snapshot_download", snapshot)
    settings = Sd15Settings()
    assert isinstance(hub.load_pipeline(settings, torch.float32), StableDiffusionPipeline)
    assert [call["local_files_only"] for call in asked] == [True] and asked[0]["revision"] == settings.revision


def test_clip_weights_that_are_nowhere() -> None:
    settings = Sd15Settings()
    refused(ArtefactError, lambda: hub.clip_files(settings.proxy), "ViT-L-14/openai", "0.9 GB", "hf download timm/")
    refused(ArtefactError, lambda: hub.clip_files(settings.held_out), "0.6 GB", "hf download laion/")


def test_clip_names_that_are_wrong(tmp_path: Path) -> None:
    for model, pretrained, error, word in (
        ("ViT-L-15", "openai", SettingsError, "ViT-L-15"),
        ("ViT-L-14", "opnai", ArtefactError, "openai"),
        (f"local-dir:{tmp_path}", None, ArtefactError, "open_clip_config.json"),
    ):
        given = ClipSettings(model=model, pretrained=pretrained)
        refused(error, lambda given=given: hub.clip_files(given), word)


def test_clip_weights_of_another_architecture(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_sd15.clip(), tmp_path / "clip"))
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 24
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    refused(ArtefactError, lambda: hub.load_clip(ClipSettings(model=f"local-dir:{folder}")), "cannot be loaded")


def test_openais_weights_get_their_activation_from_the_tag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(hub, "_hub_clip", lambda *given: tmp_path / "weights.safetensors")
    monkeypatch.setattr(hub.open_clip, "create_model", lambda name, file, **given: made.append(given | {"file": file}))
    hub.load_clip(Sd15Settings().proxy)
    hub.load_clip(Sd15Settings().held_out)
    assert [given["force_quick_gelu"] for given in made] == [True, False]
    assert made[0]["file"] == str(tmp_path / "weights.safetensors") and made[0]["force_preprocess_cfg"]["mean"]


# ---------------------------------------------------------------- pinned and checked OpenCLIP weights


@pytest.mark.parametrize("place", ["folder", "file", "hub"])
def test_clip_weights_of_another_sha256(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tiny_sd15.clip() / "open_clip_model.safetensors"
    monkeypatch.setattr(hub.huggingface_hub, "try_to_load_from_cache", lambda *args, **given: str(file))
    asked: dict[str, Any] = {
        "folder": {"model": f"local-dir:{tiny_sd15.clip()}"},
        "file": {"model": "ViT-B-32", "pretrained": str(file)},
        "hub": {"model": "ViT-B-32", "pretrained": "laion2b_s34b_b79k"},
    }[place]
    right = file_sha256(file)
    assert hub.clip_files(ClipSettings(**asked, sha256=right)).file == file
    wrong = ClipSettings(**asked, sha256="0" * 64)
    refused(ArtefactError, lambda: hub.load_clip(wrong), str(file), right, "0" * 64, "get it again", "correct sha256")


def test_a_pin_that_is_no_commit_and_no_sha256() -> None:
    for pin in ({"revision": "main"}, {"sha256": "abc"}):
        with pytest.raises(ValidationError, match="pattern"):
            ClipSettings.model_validate({"model": "ViT-B-32"} | pin)


def test_a_pinned_revision_is_looked_up_downloaded_and_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings, asked = Sd15Settings().held_out.model_copy(update={"revision": "a" * 40}), []
    refused(ArtefactError, lambda: hub.clip_files(settings), f"79K --revision {'a' * 40} --include")

    def look(repository: str, name: str, revision: str | None) -> None:
        asked.append(("cache", name, revision))

    def download(repository: str, name: str, revision: str | None) -> str:
        asked.append(("hub", name, revision))
        if name == hub.CLIP_FILES[0]:
            raise RemoteEntryNotFoundError("404", response=SimpleNamespace(headers={}, request=None))  # type: ignore
        return str(tmp_path / name)

    online(monkeypatch, try_to_load_from_cache=look, hf_hub_download=download)
    assert hub.clip_files(settings).file == tmp_path / hub.CLIP_FILES[1]
    cached = [("cache", name, "a" * 40) for name in hub.CLIP_FILES]
    assert asked == [*cached, *(("hub", name, "a" * 40) for name in hub.CLIP_FILES[:2])]


def test_a_weight_file_that_the_tag_names_is_the_one_that_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ClipSettings(model="ViTamin-S", pretrained="datacomp1b")
    refused(ArtefactError, lambda: hub.clip_files(settings), "hf download jienengchen/ViTamin-S --include 'pytorch_mo")
    online(monkeypatch, hf_hub_download=lambda repository, name, revision: f"/{repository}/{name}")
    assert hub.clip_files(settings).file == Path("/jienengchen/ViTamin-S/pytorch_model.bin")


# ---------------------------------------------------------------- downloads


def online(monkeypatch: pytest.MonkeyPatch, **given: Callable[..., Any]) -> None:
    """The hub may be asked; these of its functions are replaced."""
    monkeypatch.setattr(hub, "offline", lambda: False)
    for name, function in given.items():
        monkeypatch.setattr(hub.huggingface_hub, name, function)


class Hub:
    """A repository and the cache of it, which is empty at first."""

    def __init__(self, repository: Path, cache: Path) -> None:
        self.repository, self.cache, self.asked = repository, cache, []

    def snapshot(self, allow_patterns: list[str], local_files_only: bool = False, **given: Any) -> str:
        self.asked.append("cache" if local_files_only else allow_patterns[-1])
        if local_files_only and not self.cache.exists():
            raise LocalEntryNotFoundError("not cached")
        for file in () if local_files_only else self.repository.rglob("*"):
            if any(file.relative_to(self.repository).match(pattern) for pattern in allow_patterns):
                place = self.cache / file.relative_to(self.repository)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, place)
        return str(self.cache)


FULL, HALF = (f"text_encoder/model{variant}.safetensors" for variant in ("", ".fp16"))


@pytest.mark.parametrize(("half", "fetched"), [(True, [HALF]), (False, [HALF, FULL])])
def test_a_repository_without_the_variant_gives_its_other_files(
    half: bool, fetched: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = Hub(tiny_sd15.pipeline(half), tmp_path / "cache")
    online(monkeypatch, snapshot_download=fake.snapshot)
    assert hub.pipeline_folder(Sd15Settings()) == fake.cache and fake.asked == ["cache", *fetched]
    assert isinstance(hub.load_pipeline(Sd15Settings(), torch.float32), StableDiffusionPipeline)
    assert fake.asked == ["cache", *fetched, "cache"]  # nothing is asked again


def test_a_cache_that_lacks_the_weights_is_filled_only_where_the_hub_may_be_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = Hub(tiny_sd15.pipeline(), tmp_path / "cache")
    online(monkeypatch, snapshot_download=fake.snapshot)
    fake.snapshot(list(hub.PLAIN))
    refused(ArtefactError, lambda: hub.pipeline_folder(Sd15Settings(), download=False), "lacks", "without `.fp16`")
    assert fake.asked[1:] == ["cache"]
    assert hub.pipeline_folder(Sd15Settings()) == fake.cache and fake.asked[2:] == ["cache", HALF, FULL]


def unreachable() -> Exception:
    error = LocalEntryNotFoundError("Please check your connection")
    error.__cause__ = ConnectionError("Connection refused")
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left"),
        (PermissionError(13, "Permission denied", "/cache"), "Permission denied: '/cache'"),
        (RuntimeError("Data processing error: no space\nand more"), "(Data processing error: no space)"),
        (unreachable(), "Connection refused"),
    ],
)
def test_a_download_that_fails_says_why(error: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **given: Any) -> Any:
        raise LocalEntryNotFoundError("not cached") if given.get("local_files_only") else error

    online(monkeypatch, snapshot_download=fail, hf_hub_download=fail, try_to_load_from_cache=lambda *a, **given: None)
    settings = Sd15Settings()
    refused(ArtefactError, lambda: hub.pipeline_folder(settings), "download failed", said, "hf download")
    refused(ArtefactError, lambda: hub.clip_files(settings.proxy), "download failed", said, "hf download")
    with pytest.raises(ArtefactError) as raised:
        hub.pipeline_folder(settings, download=False)
    assert "download failed" not in str(raised.value)


# ---------------------------------------------------------------- device and memory


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_asked_for_and_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = experiment(tmp_path, device="cuda")
    assert cli.main(["align", "--config", path, "--task", "sd15", "--method", "papa", "--user", "apple"]) == 2
    assert_paragraph(capsys.readouterr().err, "device: cuda", "no CUDA device")


def experiment(tmp_path: Path, **given: Any) -> str:
    block = {"task": "sd15", "methods": ["base", "papa"], "users": ["apple"], "seeds": [0]}
    tasks = {"sd15": tiny_sd15.settings().model_dump()}
    return str(tiny.write(tmp_path, tiny.config(tmp_path, block, tasks=tasks, **given)))


def test_a_full_gpu_is_told_with_the_settings_that_help(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, small_blocks: None
) -> None:
    path = experiment(tmp_path)
    align = ["align", "--config", path, "--task", "sd15", "--user", "apple"]
    assert cli.main([*align, "--method", "base"]) == 0
    before = {file: file.read_bytes() for file in (tmp_path / "results").rglob("*") if file.is_file()}

    def full(*args: Any, **kwargs: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("papa.methods.papa.accumulate_gradients", full)
    capsys.readouterr()
    assert cli.main([*align, "--method", "papa"]) == 2
    words = ("tasks.sd15.chunk", "attention_slicing", "vae_tiling", "trainable: lora", "gradient_checkpointing")
    assert_paragraph(capsys.readouterr().err.splitlines()[-1], *words, "Finished runs are kept")
    assert {file: file.read_bytes() for file in before} == before


def test_another_error_is_no_matter_of_memory() -> None:
    assert memory_advice(RuntimeError("shapes differ"), "sd15") is None
    assert memory_advice(RuntimeError("CUDA error: out of memory"), None) is not None


# ---------------------------------------------------------------- doctor


def test_the_doctor_names_every_need_with_its_size(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.main(["doctor", "--config", str(Path(__file__).parents[1] / "config" / "sd15.yaml")]) == 2
    said = capsys.readouterr().out
    for word in ("2.1 GB", "0.9 GB", "0.6 GB", "CUDA device with about", "in the prompt bank", "disk:"):
        assert word in said, said
    assert said.count("problem ") == 4


def test_the_doctor_is_content_with_local_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["doctor", "--config", experiment(tmp_path)])
    said = capsys.readouterr().out
    assert f"ok       task sd15: Stable Diffusion in {tiny_sd15.pipeline()}" in said
    assert said.count(str(tiny_sd15.clip())) == 1 and said.count(str(tiny_sd15.clip(1))) == 1


def test_adapters_fit_a_24_gb_gpu_and_whole_networks_do_not() -> None:
    lora = PapaSettings(trainable="lora", gradient_checkpointing=True, chunk=4)
    assert sd15_needs.gpu_bytes(lora) < 10e9
    assert sd15_needs.gpu_bytes(lora.model_copy(update={"trainable": "all"})) > 20e9
    assert sd15_needs.gpu_bytes(PapaSettings(chunk=8)) > 50e9


def test_the_grid_of_the_configuration_is_the_documents() -> None:
    found = grid.load(Path(__file__).parents[1] / "config" / "sd15.yaml")
    assert {spec.task for spec in found} == {"sd15"}
    settings: Any = found.task_settings["sd15"]
    assert (settings.steps, settings.chunk, settings.temperature, settings.guidance_scale) == (25, 8, 10.0, 7.5)
    fkc: Any = found.select(method="fkc")[0].settings
    assert (fkc.particles, fkc.per_round, fkc.labels, fkc.beta_min, fkc.beta_max) == (32, 8, 80, 0.5, 2.0)
    assert (fkc.gamma_max, fkc.gamma_min, fkc.diversity) == (0.05, 0.0, True)
    assert fkc.surrogate.model_dump() | {"lr": 1e-3, "epochs": 200, "batch": 32} == fkc.surrogate.model_dump()
    assert all(spec.settings.trainable == "lora" for spec in found.select(method="papa"))  # type: ignore[attr-defined]
