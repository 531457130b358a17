"""Seconds and peak memory of a round of FKC and PAPA on this machine, as a JSON table.

    python tools/bench_text_to_image.py --tasks sd15 fruits > bench.json

`sd15` has the size of Stable Diffusion 1.5 and random weights, so nothing is downloaded; answers are random. A round
samples and decodes the images and learns from 8 answers.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from papa.benchmark.machine import peak_memory_mib, pick_device, reset_peak_memory
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits.task import Fruits
from papa.benchmark.tasks.pipeline import Sd15Settings
from papa.models.pipeline import PipelineModel
from papa.rng import Stream
from papa.session import Session

LORA = {"trainable": "lora", "gradient_checkpointing": True, "chunk": 4, "lr": 1e-4}  # as config/sd15.yaml
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "fkc": ("fkc", {"diversity": True}),
    "papa-lora": ("papa", LORA),
    "papa-all": ("papa", LORA | {"trainable": "all"}),
}
SIZES: dict[str, Any] = {
    "sd15": ((320, 640, 1280, 1280), 64, (128, 256, 512, 512)),
    "narrow": ((32, 32, 64, 64), 8, (32, 32, 32, 32)),
}
"""Channels of the UNet, side of a latent, channels of the VAE; `narrow` is for trying this script."""


def tokenizer() -> CLIPTokenizer:
    """Letters as tokens."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


def random_pipeline(size: str, device: str) -> StableDiffusionPipeline:
    """The architecture of Stable Diffusion 1.5 with random weights."""
    channels, side, pixels = SIZES[size]
    plain: Any = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    unet = UNet2DConditionModel(
        sample_size=side,
        block_out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=768,
        attention_head_dim=8,
    )
    vae = AutoencoderKL(**plain, block_out_channels=pixels, layers_per_block=2, sample_size=8 * side)
    text = CLIPTextModel(
        CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
    )
    scheduler = PNDMScheduler(1000, 0.00085, 0.012, "scaled_linear", skip_prk_steps=True, steps_offset=1)
    parts: dict[str, Any] = {"scheduler": scheduler, "safety_checker": None, "feature_extractor": None}
    networks: list[tuple[str, Any]] = [("unet", unet), ("vae", vae), ("text_encoder", text)]
    for name, part in networks:
        parts[name] = part.to(torch.float32 if device == "cpu" else torch.float16)
    return StableDiffusionPipeline(tokenizer=tokenizer(), requires_safety_checker=False, **parts)


def open_model(name: str, device: str, steps: int | None) -> PipelineModel:
    given = {} if steps is None else {"steps": steps}
    torch.manual_seed(0)  # the random weights
    if name == "fruits":
        return Fruits(FruitsSettings.model_validate(given), device).model
    return PipelineModel(random_pipeline(name, device), Sd15Settings.model_validate(given), device=device)


def rounds(session: Session, count: int) -> list[float]:
    """Seconds of each round after the first."""
    seconds = []
    for index in range(count + 1):
        began = time.monotonic()
        question = session.ask()
        session.model.pack(question.images)
        session.answer((Stream(1).at(round=index).uniform(len(question)) < 0.5).tolist())
        if session.model.device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.monotonic() - began)
        print(f"  round {index}: {seconds[-1]:.1f} s", file=sys.stderr, flush=True)
    return seconds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=["fruits", *SIZES], default=["fruits", "sd15"])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=2, help="rounds that are timed (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="sampling steps (default: the task's)")
    args = parser.parse_args()
    device, table = pick_device(args.device), []
    for name in args.tasks:
        model = open_model(name, device, args.steps)
        for label in args.methods:
            print(f"{name}, {label}", file=sys.stderr, flush=True)
            method, settings = METHODS[label]
            reset_peak_memory()
            session = Session(model, method, settings=settings)
            seconds = rounds(session, args.rounds)
            peak = peak_memory_mib()
            row: dict[str, Any] = {"task": name, "method": label, "steps": model.steps}
            row["device"] = torch.cuda.get_device_name() if device != "cpu" else "cpu"
            row["dtype"] = str(model.pipe.unet.dtype).removeprefix("torch.")
            row["parameters"] = sum(p.numel() for p in model.pipe.unet.parameters())
            table.append(row | {"seconds_per_round": round(float(np.mean(seconds)), 2), "peak_memory_mib": round(peak)})
            del session
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
