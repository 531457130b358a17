"""What a round costs on this machine: seconds and peak memory of FKC and PAPA, as a JSON table.

    python tools/bench_text_to_image.py --tasks sd15 fruits > bench.json

`sd15` is a network of Stable Diffusion 1.5's true size with random weights, so nothing is downloaded; the
OpenCLIP proxy is left out (answers are tossed). A round is: draw and decode the items, learn from 8 answers.
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

from papa.benchmark.config import FkcSettings, FruitsSettings, PapaSettings, Sd15Settings
from papa.benchmark.machine import peak_memory_mib, pick_device, reset_peak_memory
from papa.benchmark.tasks.sd15.task import Sd15
from papa.benchmark.tasks.text_to_image import TextToImage
from papa.methods.fkc.method import Fkc
from papa.methods.papa.method import Papa
from papa.rng import Stream
from papa.session import Feedback

LORA = {"trainable": "lora", "gradient_checkpointing": True, "chunk": 4, "lr": 1e-4}  # as config/sd15.yaml
METHODS: dict[str, tuple[Any, Any]] = {
    "fkc": (Fkc, FkcSettings(diversity=True)),
    "papa-lora": (Papa, PapaSettings.model_validate(LORA)),
    "papa-all": (Papa, PapaSettings.model_validate(LORA | {"trainable": "all"})),
}
SIZES: dict[str, Any] = {
    "sd15": ((320, 640, 1280, 1280), 64, (128, 256, 512, 512)),
    "narrow": ((32, 32, 64, 64), 8, (32, 32, 32, 32)),
}
"""Channels of the UNet, side of a latent, channels of the VAE: Stable Diffusion 1.5's, and one to try this with."""


def tokenizer() -> CLIPTokenizer:
    """Letters as tokens."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)


class RandomSd15(Sd15):
    """The architecture of Stable Diffusion 1.5 with random weights."""

    width = "sd15"

    def load_pipeline(self) -> Any:
        channels, side, pixels = SIZES[self.width]
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
        dtype = torch.float32 if self.device == "cpu" else torch.float16
        scheduler = PNDMScheduler(1000, 0.00085, 0.012, "scaled_linear", skip_prk_steps=True, steps_offset=1)
        parts: dict[str, Any] = {"scheduler": scheduler, "safety_checker": None, "feature_extractor": None}
        networks: list[tuple[str, Any]] = [("unet", unet), ("vae", vae), ("text_encoder", text)]
        for name, part in networks:
            parts[name] = part.to(dtype)
        return StableDiffusionPipeline(tokenizer=tokenizer(), requires_safety_checker=False, **parts)


class NarrowSd15(RandomSd15):
    width = "narrow"


def open_task(name: str, device: str, steps: int | None) -> TextToImage:
    given = {} if steps is None else {"steps": steps}
    torch.manual_seed(0)  # the random weights
    if name == "fruits":
        from papa.benchmark.tasks.fruits.task import Fruits

        return Fruits(FruitsSettings.model_validate(given), device)
    return (RandomSd15 if name == "sd15" else NarrowSd15)(Sd15Settings.model_validate(given), device)


def rounds(task: TextToImage, method: Any, count: int) -> list[float]:
    """Seconds of each round after the first, which shows base samples."""
    seconds = []
    for index in range(count + 1):
        began = time.monotonic()
        query = method.ask(8)
        task.pack(task.decode(query.latents))
        liking = (Stream(1).at(round=index).uniform(8) < 0.5).astype(float)
        method.tell(query, Feedback(liking, np.zeros(8)))
        if task.device != "cpu":
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
        task = open_task(name, device, args.steps)
        for label in args.methods:
            print(f"{name}, {label}", file=sys.stderr, flush=True)
            cls, settings = METHODS[label]
            reset_peak_memory()
            method = cls(settings, task, Stream(0), lambda n: None)
            seconds = rounds(task, method, args.rounds)
            peak = peak_memory_mib()
            table.append(
                {
                    "task": name,
                    "method": label,
                    "device": torch.cuda.get_device_name() if device != "cpu" else "cpu",
                    "dtype": str(task.pipe.unet.dtype).removeprefix("torch."),
                    "steps": task.settings.steps,
                    "parameters": sum(p.numel() for p in task.pipe.unet.parameters()),
                    "seconds_per_round": round(float(np.mean(seconds)), 2),
                    "peak_memory_mib": round(peak),
                }
            )
            del method
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
