"""Loading a pipeline and OpenCLIP models, from folders or the hub, with diffusers' and open_clip's own loaders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import torch
from diffusers import DiffusionPipeline

from papa.benchmark.tasks.pipeline import ClipSettings, PipelineTaskSettings
from papa.errors import ArtefactError, PapaError, SettingsError
from papa.files import sha256
from papa.models.pipeline import load_pipeline

NETWORKS = ("unet", "transformer")


def load(settings: PipelineTaskSettings, dtype: torch.dtype) -> Any:
    """The pipeline, on the CPU.

    Raises:
        ArtefactError: where it is missing or damaged, or a file has another sha256.
        SettingsError: without a model or prompt.
    """
    with _with_hint(_pipeline_hint(settings)):
        folder = _local(settings)
        if folder is None:
            loader: Any = DiffusionPipeline
            without = dict.fromkeys(("safety_checker", "feature_extractor"))
            given = {"revision": settings.revision, "variant": settings.variant}
            folder = Path(loader.download(settings.model, **given, **without))
        _check_files(settings, folder)
        has_variant = any(folder.glob(f"*/*.{settings.variant}*.safetensors"))
        return load_pipeline(folder, dtype, settings.variant if has_variant else None)


def folder_on_disk(settings: PipelineTaskSettings) -> Path:
    """The folder of the pipeline, local or in the hub's cache; nothing is downloaded or loaded.

    Raises:
        ArtefactError, SettingsError: as `load`.
    """
    with _with_hint(_pipeline_hint(settings)):
        folder = _local(settings)
        if folder is None:
            index = huggingface_hub.try_to_load_from_cache(
                settings.model, "model_index.json", revision=settings.revision
            )
            if not isinstance(index, str):
                raise FileNotFoundError(f"{settings.model} is not a folder, and not in the hub's cache")
            folder = Path(index).parent
        if not (folder / "model_index.json").is_file():
            raise FileNotFoundError(f"{folder} has no model_index.json")
        if not any(weights_of(folder)):
            raise FileNotFoundError(f"{folder} has no weights")
        _check_files(settings, folder)
        return folder


def weights_of(folder: Path) -> list[Path]:
    """The weight files of a pipeline's network."""
    return [file for part in NETWORKS for file in (folder / part).glob("*.safetensors")]


def _local(settings: PipelineTaskSettings) -> Path | None:
    if not settings.model or not settings.prompt:
        raise SettingsError(
            "task pipeline: name a model and a prompt: {of: pipeline, model: my-pipeline, prompt: a photo of a house}."
        )
    folder = Path(settings.model).expanduser()
    return folder if folder.exists() or folder.is_absolute() else None


def _check_files(settings: PipelineTaskSettings, folder: Path) -> None:
    for name, expected in settings.sha256.items():
        _check_sha256(folder / name, expected)


def _check_sha256(file: Path, expected: str) -> None:
    found = sha256(file) if file.is_file() else "missing"
    if found != expected:
        raise ArtefactError(
            f"{file} has sha256 {found}, the settings say {expected}. The file is damaged or of another model: get it "
            "again, or correct sha256."
        )


@contextmanager
def _with_hint(hint: str) -> Iterator[None]:
    """A block whose errors are ArtefactErrors that end with a hint."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except PapaError as error:
        if isinstance(error, ArtefactError) and "sha256" not in str(error):
            raise ArtefactError(f"{error} {hint}") from error
        raise
    except Exception as error:  # of the disk, the hub or its HTTP client: no common class
        raise ArtefactError(f"{(str(error).strip().splitlines() or [repr(error)])[0][:300]}. {hint}") from error


def _pipeline_hint(settings: PipelineTaskSettings) -> str:
    revision = f" --revision {settings.revision}" if settings.revision else ""
    if Path(settings.model).expanduser().is_absolute():
        return "Give the folder that save_pretrained wrote, or the name of a repository on the hub."
    return (
        f"With a network: `hf download {settings.model}{revision}` (Stable Diffusion 1.5: 2.1 GB in fp16). Without: "
        "copy the folder here and set model to its path."
    )


def load_clip(settings: ClipSettings) -> tuple[Any, Any]:
    """An OpenCLIP model in float32 on the CPU, and its tokenizer.

    Raises:
        ArtefactError: for weights that are missing, of another architecture, or of another sha256.
    """
    with _with_hint(_clip_hint(settings)):
        file = _clip_file(settings)
        if settings.sha256:
            _check_sha256(file, settings.sha256)
        model = open_clip.create_model(settings.model, settings.pretrained, require_pretrained=True)
        return model, open_clip.get_tokenizer(settings.model)


def clip_on_disk(settings: ClipSettings) -> Path:
    """The weight file of an OpenCLIP model; nothing is downloaded or loaded.

    Raises:
        ArtefactError: as `load_clip`.
    """
    with _with_hint(_clip_hint(settings)):
        file = _clip_file(settings, download=False)
        if settings.sha256:
            _check_sha256(file, settings.sha256)
        return file


def _clip_file(settings: ClipSettings, download: bool = True) -> Path:
    names = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
    _, local, folder = settings.model.partition("local-dir:")
    given = Path(settings.pretrained or "").expanduser()
    if local:
        places = [Path(folder).expanduser() / name for name in names]
    elif given.is_file():
        places = [given]
    else:
        tag: Any = open_clip.get_pretrained_cfg(settings.model, settings.pretrained or "")
        if not tag:
            raise FileNotFoundError(f"{settings.model} has no weights {settings.pretrained!r} in open_clip")
        if download:
            return Path(open_clip.download_pretrained(tag))
        repository, _, name = str(tag.get("hf_hub", "")).rpartition("/")
        cached = [huggingface_hub.try_to_load_from_cache(repository, file) for file in ((name,) if name else names)]
        places = [Path(file) for file in cached if isinstance(file, str)]
    found = next((file for file in places if file.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"the weights of {settings.model} {settings.pretrained or ''} are missing")
    return found


def _clip_hint(settings: ClipSettings) -> str:
    tag: Any = open_clip.get_pretrained_cfg(settings.model, settings.pretrained or "") or {}
    repository = str(tag.get("hf_hub", "REPOSITORY/")).rpartition("/")[0]
    return (
        f"OpenCLIP {settings.model} {settings.pretrained or ''} is about 1 GB. With a network: `hf download "
        f"{repository} --include 'open_clip*'`. Without: copy its weight file and open_clip_config.json to a folder "
        "here and set model: local-dir:FOLDER."
    )
