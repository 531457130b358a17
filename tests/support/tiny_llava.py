"""A random LLaVA-OneVision on disk, in the classes of the real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from papa.rng import Stream

TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %} answer:{% endif %}"
)


def write(folder: Path) -> Path:
    """A random LLaVA-OneVision with its processor, letters for tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
        PreTrainedTokenizerFast,
        Qwen2Config,
        SiglipVisionConfig,
    )

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*letters, "<pad>", "<end>", "<image>", "<video>"])}
    words = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<end>",
        additional_special_tokens=["<image>", "<video>"],
    )
    size = {"height": 16, "width": 16}
    tower = SiglipVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=8
    )
    text = Qwen2Config(
        vocab_size=len(vocabulary),
        hidden_size=24,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        pad_token_id=vocabulary["<pad>"],
        eos_token_id=vocabulary["<end>"],
    )
    config = LlavaOnevisionConfig(
        vision_config=tower,
        text_config=text,
        image_token_index=vocabulary["<image>"],
        image_token_id=vocabulary["<image>"],
        video_token_index=vocabulary["<video>"],
        video_token_id=vocabulary["<video>"],
        image_grid_pinpoints=[[16, 16], [32, 32]],
    )
    with Stream(0).at("llava").seeding_torch():
        LlavaOnevisionForConditionalGeneration(config).eval().save_pretrained(folder)
    images: Any = LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=[[16, 16], [32, 32]])
    videos: Any = LlavaOnevisionVideoProcessor(size=size)
    LlavaOnevisionProcessor(
        images,
        tokenizer,
        videos,
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE,
    ).save_pretrained(folder)
    return folder
