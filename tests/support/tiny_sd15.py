"""A random pipeline on disk, file for file as the hub has Stable Diffusion 1.5, and a random OpenCLIP beside it."""

from __future__ import annotations

import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextConfig, CLIPTextModel

from papa.benchmark.tasks import artefacts
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.pipeline import Sd15Settings
from papa.benchmark.tasks.pipeline.task import PipelineTask
from papa.benchmark.tasks.text_to_image import TextToImage

_TEMPORARY = tempfile.TemporaryDirectory(prefix="papa-tiny-sd15-")  # goes with the process
BANK = {"apple": ["an apple", "a red apple"], "grape": ["grapes"], "banana": ["a banana"], "lemon": ["a lemon"]}

# What the hub's files say, word for word.
SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.6.0",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
TOKENIZER = {
    "add_prefix_space": False,
    "bos_token": "<|startoftext|>",
    "do_lower_case": True,
    "eos_token": "<|endoftext|>",
    "errors": "replace",
    "model_max_length": 77,
    "pad_token": "<|endoftext|>",
    "tokenizer_class": "CLIPTokenizer",
    "unk_token": "<|endoftext|>",
}


def _write_tokenizer(folder: Path) -> int:
    """Bytes alone, without a merge: every letter is a token. Returns the size of the vocabulary."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    vocabulary = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER))
    special = {name: TOKENIZER[name] for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    return len(vocabulary)


def _parts(words: int) -> dict[str, Any]:
    """The networks, in the classes and with the blocks of Stable Diffusion 1.5."""
    blocks = (8, 8, 16, 16)
    text = CLIPTextConfig(
        vocab_size=words,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=77,
        bos_token_id=0,
        eos_token_id=2,
        hidden_act="quick_gelu",
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=blocks,
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 8, 8),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
        scaling_factor=0.18215,
    )
    return {"text_encoder": CLIPTextModel(text), "unet": unet, "vae": vae}


def _safety(folder: Path) -> None:
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {**tower, "image_size": 32, "patch_size": 16, "projection_dim": 16}
    config = CLIPConfig(text_config=tower, vision_config=vision, projection_dim=16)
    StableDiffusionSafetyChecker(config).save_pretrained(folder / "safety_checker")
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder / "feature_extractor")


@cache
def pipeline(half: bool = False, checker: bool = True) -> Path:
    """A Stable Diffusion 1.5 folder. half: float16 files (`*.fp16.safetensors`) and no others."""
    folder = Path(tempfile.mkdtemp(dir=_TEMPORARY.name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = _parts(_write_tokenizer(folder / "tokenizer"))
        for name, part in parts.items():
            (part.half() if half else part).save_pretrained(folder / name, variant="fp16" if half else None)
        _safety(folder)
    index = INDEX if checker else INDEX | {"safety_checker": [None, None]}
    if not checker:
        shutil.rmtree(folder / "safety_checker")
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    return folder


@cache
def clip(seed: int = 0) -> Path:
    """An OpenCLIP folder, as `local-dir:` takes it."""
    folder = Path(tempfile.mkdtemp(dir=_TEMPORARY.name))
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(**config)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def settings(**given: Any) -> Sd15Settings:
    """Settings of a task that lies on disk; what is given wins."""
    data: dict[str, Any] = {
        "model": str(pipeline()),
        "proxy": {"model": f"local-dir:{clip()}"},
        "held_out": {"model": f"local-dir:{clip(1)}"},
        "bank": BANK,
        "steps": 3,
        **dict.fromkeys(("attention_slicing", "vae_slicing", "vae_tiling"), False),  # they cost time
        "prompt": "a photo of a fruit",
    }
    return Sd15Settings.model_validate(data | given)


@cache
def task() -> PipelineTask:
    """The task in float32. Tests change nothing in it."""
    return PipelineTask(settings())


def reference(folder: Path, **given: Any) -> Any:
    """A folder as anyone would load it, without papa."""
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, requires_safety_checker=False, **given)
    pipe.set_progress_bar_config(disable=True)
    return pipe


TASKS = ["sd15", "fruits"]


@cache
def either(name: str) -> TextToImage:
    """A text-to-image task with 3 sampling steps: the tiny one, or `fruits` where its artefacts are."""
    if name == "sd15":
        return task()
    if not (artefacts.folder("fruits") / "card.json").is_file():
        pytest.skip("the artefacts of fruits are not there")
    from papa.benchmark.tasks.fruits.task import Fruits

    return Fruits(FruitsSettings(steps=3))


def folder_of(given: TextToImage) -> Path:
    """Where the pipeline of a task lies."""
    return pipeline() if isinstance(given, PipelineTask) else artefacts.folder("fruits") / "pipeline"
