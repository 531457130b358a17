"""A random Stable Cascade prior on disk, in the classes of the real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import DDPMWuerstchenScheduler, StableCascadePriorPipeline, StableCascadeUNet
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

from papa.rng import Stream
from support import tiny_sd15

WIDTH = 16


def write(folder: Path) -> Path:
    """Write a prior with two levels, both with attention."""
    words = tiny_sd15._write_tokenizer(folder / "letters")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "letters")
    ids: dict[str, Any] = {"bos_token_id": words - 2, "eos_token_id": words - 1, "pad_token_id": words - 1}
    with Stream(0).at("cascade").seeding_torch():
        text = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=words,
                hidden_size=WIDTH,
                projection_dim=WIDTH,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                **ids,
            )
        )
        prior = StableCascadeUNet(
            conditioning_dim=WIDTH,
            block_out_channels=(16, 16),
            num_attention_heads=(2, 2),
            down_num_layers_per_block=(1, 1),
            up_num_layers_per_block=(1, 1),
            clip_text_in_channels=WIDTH,
            clip_text_pooled_in_channels=WIDTH,
            clip_image_in_channels=8,
            clip_seq=2,
            switch_level=(False,),
        )
    pipe = StableCascadePriorPipeline(tokenizer, text, prior, DDPMWuerstchenScheduler())
    pipe.save_pretrained(folder / "prior")
    return folder / "prior"
