"""Training of the `fruits` diffusion model: UNet and text encoder together, on the autoencoder's latents."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from papa.benchmark.tasks.fruits.captions import CONTEXT, training_caption, words
from papa.benchmark.tasks.fruits.render import Attributes
from papa.rng import Stream
from recipes.fruits.training import Trainer, batches
from recipes.fruits.vocabulary import clip_tokenizer
from recipes.shared import Log, reproducible

TIMESTEPS = 1000
STEPS = 12_000
BATCH = 48
LEARNING_RATE = 2e-3
EMA_DECAY = 0.999
TEXT_WIDTH = 64


def new_unet() -> UNet2DConditionModel:
    """2.2 M parameters; cross-attention at 4x4, where a fruit's kind and colour are decided."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(48, 96),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """0.15 M parameters."""
    ids: Any = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            **ids,
        )
    )


def new_scheduler() -> EulerAncestralDiscreteScheduler:
    """Stable Diffusion 1.5's schedule."""
    return EulerAncestralDiscreteScheduler(
        num_train_timesteps=TIMESTEPS, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )


def token_ids(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """(n, CONTEXT) padded as the pipeline pads prompts."""
    return tokenizer(captions, padding="max_length", max_length=CONTEXT, truncation=True, return_tensors="pt").input_ids


@torch.no_grad()
def posterior(vae: AutoencoderKL, x: Tensor) -> tuple[Tensor, Tensor]:
    """Scaled mean and standard deviation of the latents of (n, 3, 32, 32) pictures."""
    found: list[Any] = [vae.encode(part).latent_dist for part in x.split(256)]  # pyright: ignore
    scale: float = vae.config["scaling_factor"]
    return scale * torch.cat([p.mean for p in found]), scale * torch.cat([p.std for p in found])


@reproducible
def train_diffusion(
    x: Tensor,
    shown: list[Attributes],
    vae: AutoencoderKL,
    stream: Stream,
    log: Log,
    steps: int = STEPS,
) -> tuple[UNet2DConditionModel, CLIPTextModel, CLIPTokenizer]:
    """Train on (n, 3, 32, 32) images in [-1, 1] with fresh captions; returns the averaged (EMA) networks."""
    mean, std = posterior(vae, x)
    tokenizer = clip_tokenizer(words())
    live: list[nn.Module] = [new_unet().train(), new_text_encoder(tokenizer).train()]
    averaged = [copy.deepcopy(net).eval().requires_grad_(False) for net in live]
    pairs = [[list(net.parameters()) for net in nets] for nets in (averaged, live)]
    ema, raw = ([p.data for group in groups for p in group] for groups in pairs)
    abar = new_scheduler().alphas_cumprod
    trainer = Trainer("diffusion", live, LEARNING_RATE, steps, log)
    rng = stream.at("train").generator()
    for step, chosen in batches(len(x), BATCH, steps, rng):
        index = torch.from_numpy(chosen)
        normal = torch.from_numpy(rng.standard_normal((2, BATCH, *mean.shape[1:]), dtype=np.float32))
        x0 = mean[index] + std[index] * normal[0]
        strata = (np.arange(BATCH) + rng.random(BATCH)) / BATCH  # one timestep in each of BATCH equal strata
        t = torch.from_numpy((rng.permutation(strata) * TIMESTEPS).astype(np.int64))
        captions = [training_caption(shown[i], rng).text for i in chosen]
        text: Any = live[1](token_ids(tokenizer, captions)).last_hidden_state
        a = abar[t].view(-1, 1, 1, 1)
        predicted: Any = live[0](a.sqrt() * x0 + (1 - a).sqrt() * normal[1], t, text).sample
        trainer.step(nn.functional.mse_loss(predicted, normal[1]))
        with torch.no_grad():
            torch._foreach_lerp_(ema, raw, 1 - min(EMA_DECAY, (step + 1) / (step + 11)))
    unet, text_encoder = averaged
    assert isinstance(unet, UNet2DConditionModel) and isinstance(text_encoder, CLIPTextModel)
    return unet, text_encoder, tokenizer
