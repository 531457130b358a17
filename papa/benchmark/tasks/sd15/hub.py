"""Weights that are not shipped: found in local folders and in the hub's cache, downloaded where there is a network.

Everything loads from files that were found here, so nothing asks the network again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import torch
from diffusers import StableDiffusionPipeline
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError
from safetensors import SafetensorError

from papa.benchmark.tasks.sd15 import ClipSettings, Sd15Settings
from papa.errors import ArtefactError, SettingsError
from papa.files import sha256 as file_sha256

WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
"""Weight file of each part of a Stable Diffusion folder, without variant and ending."""
PLAIN = ("model_index.json", "scheduler/scheduler_config.json", *(f"{part}/config.json" for part in WEIGHTS))
CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
CLIP_SIZES = {"ViT-L-14": "0.9 GB in fp16 and 1.7 GB in fp32", "ViT-B-32": "0.6 GB"}
REPOSITORY = Sd15Settings().model


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    return constants.HF_HUB_OFFLINE


# ---------------------------------------------------------------- Stable Diffusion


def weight_files(variant: str | None) -> list[str]:
    """The weight files of a pipeline folder."""
    ending = f".{variant}.safetensors" if variant else ".safetensors"
    return [f"{part}/{stem}{ending}" for part, stem in WEIGHTS.items()]


def variant_in(folder: Path, wanted: str | None) -> str | None:
    """The wanted variant if the folder has all of it, else none."""
    return wanted if wanted and all((folder / name).is_file() for name in weight_files(wanted)) else None


def missing_files(folder: Path, variant: str | None) -> list[str]:
    """What a pipeline folder lacks."""
    needed = [*PLAIN, *weight_files(variant_in(folder, variant))]
    missing = [name for name in needed if not (folder / name).is_file()]
    vocabulary = [["vocab.json", "merges.txt"], ["tokenizer.json"]]
    if not any(all((folder / "tokenizer" / name).is_file() for name in names) for names in vocabulary):
        missing.append("tokenizer/vocab.json and merges.txt")
    return missing


def pipeline_folder(settings: Sd15Settings, download: bool = True) -> Path:
    """The folder of the pipeline: a local one, or the hub's cache at the pinned revision.

    Args:    download: fetch what is missing, where the hub may be asked.
    Raises:  ArtefactError that says what is missing, how large it is and how to get it, or that a file
             has another sha256 than the settings say.
    """
    folder = Path(settings.model).expanduser()
    if not folder.is_dir():
        folder = _cached(settings, download)
    if missing := missing_files(folder, settings.variant):
        raise ArtefactError(f"{folder} lacks {', '.join(missing)}. {_how_to_get(settings)}")
    refuse_other_files(folder, settings.sha256, "tasks.sd15.sha256", _how_to_get(settings))
    return folder


def refuse_other_files(folder: Path, expected: Mapping[str, str], setting: str, remedy: str) -> None:
    """Refuse a folder whose files are not those of the settings.

    Args:    expected: file -> its sha256. setting: where that stands. remedy: what to do.
    Raises:  ArtefactError.
    """
    for name, wanted in expected.items():
        found = file_sha256(folder / name) if (folder / name).is_file() else "no such file"
        if found != wanted:
            raise ArtefactError(
                f"{folder / name} has sha256 {found[:16]}, {setting} says {wanted[:16]}. The file is damaged or of "
                f"another model. {remedy}"
            )


def _cached(settings: Sd15Settings, download: bool) -> Path:
    """The snapshot in the hub's cache, downloaded where it lacks something.

    Where the repository has no files of the wanted variant, those without one are fetched.
    """
    asks = download and not offline()

    def snapshot(weights: Sequence[str], **given: bool) -> Path:
        wanted = {"allow_patterns": [*PLAIN, "tokenizer/*", *weights], **given}
        return Path(huggingface_hub.snapshot_download(repo_id=settings.model, revision=settings.revision, **wanted))

    try:
        try:
            folder = snapshot([], local_files_only=True)  # whatever weights it has
            if not asks or not missing_files(folder, settings.variant):
                return folder
        except OSError:
            if not asks:
                raise
        folder = snapshot(weight_files(settings.variant))
        whole = variant_in(folder, settings.variant) == settings.variant
        return folder if whole else snapshot(weight_files(None))
    except Exception as error:  # of the disk, the hub, its HTTP client or its transfer library: no common class
        raise ArtefactError(
            f"{settings.model} is no folder, and its weights are not in the hub's cache"
            f"{_failed(error if asks else None)}. {_how_to_get(settings)}"
        ) from error


def _how_to_get(settings: Sd15Settings) -> str:
    size = "2.1 GB" if settings.variant == "fp16" else "4.3 GB"
    patterns = " ".join(f"'{name}'" for name in ("*.json", "tokenizer/*", *weight_files(settings.variant)))
    fallback = f" (without `.{settings.variant}` where the repository has no such files)" if settings.variant else ""
    model = REPOSITORY if Path(settings.model).expanduser().is_absolute() else settings.model
    return (
        f"It is about {size}. With a network: `hf download {model} --revision {settings.revision} --include "
        f"{patterns}`{fallback}. Without: copy that folder here and set tasks.sd15.model to its path."
    )


def load_pipeline(settings: Sd15Settings, dtype: torch.dtype) -> Any:
    """The pipeline on the CPU, without a safety checker (it would black out what the user is to judge).

    Raises:  ArtefactError for files that are missing or cannot be read.
    """
    folder = pipeline_folder(settings)
    try:
        return StableDiffusionPipeline.from_pretrained(
            folder,
            torch_dtype=dtype,
            variant=variant_in(folder, settings.variant),
            use_safetensors=True,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ArtefactError(f"{folder} cannot be loaded ({_short(error)}). {_how_to_get(settings)}") from error


def _short(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _failed(cause: BaseException | None) -> str:
    if isinstance(cause, LocalEntryNotFoundError) and cause.__cause__:  # it says "check your connection" of any cause
        cause = cause.__cause__
    return f", and the download failed ({_short(cause)})" if cause else ""


# ---------------------------------------------------------------- OpenCLIP


@dataclass(frozen=True)
class ClipFiles:
    """Where an OpenCLIP model's weights lie, and what its tag says of them."""

    file: Path
    tag: Mapping[str, Any]


def clip_files(settings: ClipSettings, download: bool = True) -> ClipFiles:
    """Find an OpenCLIP model, and check its weights against the sha256 of the settings.

    Args:    download: fetch what is missing, where the hub may be asked.
    Raises:  ArtefactError where the weights are missing, with size and remedy, or have another sha256.
             SettingsError for a name that open_clip does not know.
    """
    files = _found_clip(settings, download)
    found = file_sha256(files.file) if settings.sha256 else None
    if found != settings.sha256:
        raise ArtefactError(
            f"{files.file} has sha256 {found}, the settings of {settings.model} say {settings.sha256}. The file is "
            "damaged or of another model: get it again (`hf download` replaces a cached file with --force-download), "
            "or correct sha256."
        )
    return files


def _found_clip(settings: ClipSettings, download: bool) -> ClipFiles:
    if settings.model.startswith(open_clip.factory.LOCAL_DIR_PREFIX):
        return ClipFiles(_clip_folder(Path(settings.model.partition(":")[2]).expanduser()), {})
    if settings.model not in open_clip.list_models():
        raise SettingsError(f"open_clip knows no model {settings.model!r}; `open_clip.list_models()` lists them.")
    given = settings.pretrained or ""
    if (file := Path(given).expanduser()).is_file():
        return ClipFiles(file, {})
    tag = open_clip.get_pretrained_cfg(settings.model, given)
    if not tag:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(settings.model))
        raise ArtefactError(
            f"{given!r} is neither a weight file nor a tag of {settings.model}. Its tags are {known[:300]}; give one "
            "of them, or the path of a file that is there."
        )
    return ClipFiles(_hub_clip(settings, tag["hf_hub"], download), tag)


def _clip_folder(folder: Path) -> Path:
    """The weight file of a `local-dir:` folder."""
    weights = [folder / name for name in CLIP_FILES if (folder / name).is_file()]
    if not weights or not (folder / "open_clip_config.json").is_file():
        raise ArtefactError(
            f"the OpenCLIP folder {folder} lacks open_clip_config.json or {CLIP_FILES[0]}; copy both files of the "
            "model's repository there, or name another folder."
        )
    return weights[0]


def _hub_clip(settings: ClipSettings, place: str, download: bool) -> Path:
    """The weights in the hub's cache, safetensors first, downloaded where it has none.

    Args:    place: the repository, a slash, and the weight file where it has a name of its own.
    """
    repository, _, name = place.rpartition("/")
    names, cause = (name,) if name else CLIP_FILES, None
    for name in names:
        found = huggingface_hub.try_to_load_from_cache(repository, name, revision=settings.revision)
        if isinstance(found, str | os.PathLike):
            return Path(found)
    if download and not offline():
        try:
            return _downloaded_clip(repository, names, settings.revision)
        except Exception as error:  # as in `_cached`
            cause = error
    revision = f" --revision {settings.revision}" if settings.revision else ""
    raise ArtefactError(
        f"the OpenCLIP weights {settings.model}/{settings.pretrained} are not here{_failed(cause)} (about "
        f"{CLIP_SIZES.get(settings.model, 'a few hundred MB')}). With a network: `hf download {repository}{revision} "
        f"--include '{names[0] if len(names) == 1 else 'open_clip*'}'`. Without: copy its weight file and "
        "open_clip_config.json to a folder here and set model: local-dir:FOLDER."
    ) from cause


def _downloaded_clip(repository: str, names: Sequence[str], revision: str | None) -> Path:
    """The first of the files that the repository has; any other error is raised."""
    for name in names[:-1]:
        with suppress(RemoteEntryNotFoundError):
            return Path(huggingface_hub.hf_hub_download(repository, name, revision=revision))
    return Path(huggingface_hub.hf_hub_download(repository, names[-1], revision=revision))


def load_clip(settings: ClipSettings) -> tuple[Any, Any]:
    """An OpenCLIP model in float32 on the CPU, and its tokenizer.

    Raises:  ArtefactError for weights that are missing or do not fit the architecture, and as `clip_files`.
    """
    files = clip_files(settings)
    given: dict[str, Any] = {}
    if files.tag:  # from a file, open_clip takes neither the activation nor the pixel statistics of the tag
        given = {
            "force_quick_gelu": files.tag.get("quick_gelu", False),
            "force_preprocess_cfg": {name: files.tag[name] for name in ("mean", "std") if name in files.tag},
        }
    local = settings.model.startswith(open_clip.factory.LOCAL_DIR_PREFIX)
    try:
        model = open_clip.create_model(settings.model, None if local else str(files.file), **given)
        return model, open_clip.get_tokenizer(settings.model)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ArtefactError(
            f"the OpenCLIP weights {files.file} cannot be loaded as {settings.model} ({_short(error)}). Get the file "
            "again, or name the architecture that it belongs to."
        ) from error
