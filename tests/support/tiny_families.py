"""Random pipelines of every supported family, written to disk by diffusers in their own layout."""

from __future__ import annotations

import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from support import tiny_sd15
from support.nets import small_unet

_TEMPORARY = tempfile.TemporaryDirectory(prefix="papa-tiny-families-")  # goes with the process
WIDTH, TOKENS = 16, 77
BETAS: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SPACING = {"timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": True}


def clip(words: int, projected: bool = False) -> Any:
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        projection_dim=WIDTH,
        bos_token_id=0,
        eos_token_id=2,
    )
    return CLIPTextModelWithProjection(config) if projected else CLIPTextModel(config)


def t5() -> tuple[PreTrainedTokenizerFast, T5EncoderModel]:
    """Letters as tokens, and a T5 encoder of one layer."""
    words = {word: i for i, word in enumerate(["<pad>", "</s>", "<unk>", *map(chr, range(32, 127))])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")  # type: ignore[assignment]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=64
    )
    config = T5Config(vocab_size=len(words), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    return fast, T5EncoderModel(config)


def vae(channels: int, **given: Any) -> AutoencoderKL:
    """Pictures of 16x16 for latents of 8x8."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(4, 8),
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=16,
        **given,
    )


def unet(**given: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
        norm_num_groups=4,
        **given,
    )


def _tokenizer(folder: Path) -> tuple[Any, int]:
    words = tiny_sd15._write_tokenizer(folder)
    return CLIPTokenizer.from_pretrained(folder), words


def _ddpm(place: Path) -> Any:
    return DDPMPipeline(small_unet(), DDPMScheduler())


def _stable_diffusion(place: Path, predicts: str = "epsilon") -> Any:
    tokenizer, words = _tokenizer(place / "words")
    return StableDiffusionPipeline(
        vae=vae(4, scaling_factor=0.18),
        text_encoder=clip(words),
        tokenizer=tokenizer,
        unet=unet(cross_attention_dim=WIDTH),
        scheduler=DDIMScheduler(**BETAS, **SPACING, prediction_type=predicts),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _xl(place: Path) -> Any:
    tokenizer, words = _tokenizer(place / "words")
    return StableDiffusionXLPipeline(
        vae=vae(4, scaling_factor=0.13),
        text_encoder=clip(words),
        text_encoder_2=clip(words, projected=True),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet(
            cross_attention_dim=2 * WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=WIDTH + 6 * 8,
        ),
        scheduler=DDIMScheduler(**BETAS, **SPACING),
        add_watermarker=False,
    )


def _three(place: Path, encoder: bool = True) -> Any:
    tokenizer, words = _tokenizer(place / "words")
    fast, third = t5() if encoder else (None, None)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pooled_projection_dim=2 * WIDTH,
        out_channels=4,
        pos_embed_max_size=8,
    )
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(4, scaling_factor=1.5, shift_factor=0.06),
        text_encoder=clip(words, projected=True),
        tokenizer=tokenizer,
        text_encoder_2=clip(words, projected=True),
        tokenizer_2=tokenizer,
        text_encoder_3=third,
        tokenizer_3=fast,
    )


def _flux(place: Path) -> Any:
    tokenizer, words = _tokenizer(place / "words")
    fast, second = t5()
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=WIDTH,
        guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    )
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        vae=vae(4, scaling_factor=0.36, shift_factor=0.12),
        text_encoder=clip(words),
        tokenizer=tokenizer,
        text_encoder_2=second,
        tokenizer_2=fast,
        transformer=transformer,
    )


MAKERS = {
    "DDPM": _ddpm,
    "Stable Diffusion": _stable_diffusion,
    "Stable Diffusion, v": partial(_stable_diffusion, predicts="v_prediction"),
    "Stable Diffusion XL": _xl,
    "Stable Diffusion 3": _three,
    "Stable Diffusion 3 without T5": partial(_three, encoder=False),
    "Flux": _flux,
}
PROMPTED = [name for name in MAKERS if name != "DDPM"]


@cache
def folder(name: str) -> Path:
    """The folder of a random pipeline, as its class writes it."""
    place = Path(tempfile.mkdtemp(dir=_TEMPORARY.name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        pipe = MAKERS[name](place)
    pipe.save_pretrained(place / "pipeline")
    return place / "pipeline"


def own_task(family: str = "Stable Diffusion 3", **given: Any) -> dict[str, Any]:
    """Settings of a task `pipeline` that lies on disk; what is given wins."""
    return {
        "model": str(folder(family)),
        "prompt": "a pear",
        "size": 16,
        "steps": 3,
        "proxy": {"model": f"local-dir:{tiny_sd15.clip()}"},
        "held_out": {"model": f"local-dir:{tiny_sd15.clip(1)}"},
        "bank": {"pear": ["a pear"], "apple": ["an apple", "a red apple"]},
    } | given


PEARS = {"pears": {"kind": "concepts", "wanted": {"kind": "pear"}}}
"""Somebody who likes what it draws."""
