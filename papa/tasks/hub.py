"""Weights that are not shipped: found in local folders and in the hub's cache, downloaded where there is a network.

Everything loads from files that were found here, so nothing asks the network again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import torch
from diffusers import StableDiffusionPipeline
from huggingface_hub import constants
from safetensors import SafetensorError

from papa.config import ClipSettings, Sd15Settings
from papa.errors import ArtefactError, SettingsError
from papa.provenance import file_sha256

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
    for name, expected in settings.sha256.items():
        found = file_sha256(folder / name) if (folder / name).is_file() else "no such file"
        if found != expected:
            raise ArtefactError(
                f"{folder / name} has sha256 {found[:16]}, tasks.sd15.sha256 says {expected[:16]}. The file is "
                f"damaged or of another model. {_how_to_get(settings)}"
            )
    return folder


def _cached(settings: Sd15Settings, download: bool) -> Path:
    """The snapshot in the hub's cache, downloaded where it lacks something."""
    patterns = [*PLAIN, "tokenizer/*", *weight_files(settings.variant)]
    wanted: dict[str, Any] = {"repo_id": settings.model, "revision": settings.revision, "allow_patterns": patterns}
    try:
        try:
            folder = Path(huggingface_hub.snapshot_download(**wanted, local_files_only=True))
            if not missing_files(folder, settings.variant) or not download or offline():
                return folder
        except OSError:
            if not download or offline():
                raise
        return Path(huggingface_hub.snapshot_download(**wanted))
    except (OSError, ValueError) as error:  # not cached, no network, or neither a folder nor a repository's name
        raise ArtefactError(
            f"{settings.model} is no folder, and its weights are not in the hub's cache. {_how_to_get(settings)}"
        ) from error


def _how_to_get(settings: Sd15Settings) -> str:
    size = "2.1 GB" if settings.variant == "fp16" else "4.3 GB"
    patterns = " ".join(f"'{name}'" for name in ("*.json", "tokenizer/*", *weight_files(settings.variant)))
    model = REPOSITORY if Path(settings.model).expanduser().is_absolute() else settings.model
    return (
        f"It is about {size}. With a network: `hf download {model} --revision {settings.revision} --include "
        f"{patterns}`. Without: copy that folder here and set tasks.sd15.model to its path."
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


def _short(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


# ---------------------------------------------------------------- OpenCLIP


@dataclass(frozen=True)
class ClipFiles:
    """Where an OpenCLIP model's weights lie, and what its tag says of them."""

    file: Path
    tag: Mapping[str, Any]


def clip_files(settings: ClipSettings, download: bool = True) -> ClipFiles:
    """Find an OpenCLIP model.

    Raises:  ArtefactError where the weights are missing, with size and remedy. SettingsError for a name
             that open_clip does not know.
    """
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
    repository, _, _ = tag["hf_hub"].rpartition("/")
    found = _cached_clip(repository)
    if found is None and download and not offline():
        found = _downloaded_clip(tag)
    if found is None:
        size = CLIP_SIZES.get(settings.model, "a few hundred MB")
        raise ArtefactError(
            f"the OpenCLIP weights {settings.model}/{given} are not here (about {size}). With a network: "
            f"`hf download {repository} --include 'open_clip*'`. Without: copy its weight file and "
            "open_clip_config.json to a folder here and set model: local-dir:FOLDER."
        )
    return ClipFiles(found, tag)


def _clip_folder(folder: Path) -> Path:
    """The weight file of a `local-dir:` folder."""
    weights = [folder / name for name in CLIP_FILES if (folder / name).is_file()]
    if not weights or not (folder / "open_clip_config.json").is_file():
        raise ArtefactError(
            f"the OpenCLIP folder {folder} lacks open_clip_config.json or {CLIP_FILES[0]}; copy both files of the "
            "model's repository there, or name another folder."
        )
    return weights[0]


def _cached_clip(repository: str) -> Path | None:
    """The weights in the hub's cache, safetensors first."""
    for name in CLIP_FILES:
        found = huggingface_hub.try_to_load_from_cache(repository, name)
        if isinstance(found, str | os.PathLike):
            return Path(found)
    return None


def _downloaded_clip(tag: Mapping[str, Any]) -> Path | None:
    try:
        return Path(open_clip.download_pretrained(dict(tag)))
    except (OSError, RuntimeError, ValueError):  # no network, or a proxy in the way
        return None


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
