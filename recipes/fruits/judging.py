"""Training of the `fruits` judges and of the user encoder.

The labelling proxy is an OpenCLIP model; the held-out judges are an OpenCLIP model of another architecture and a
classifier of the true attributes. The user encoder is a third OpenCLIP model. None share images, weights or seeds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from papa.benchmark.tasks.fruits.captions import CONTEXT, judging_caption, words
from papa.benchmark.tasks.fruits.nets import AttributeClassifier
from papa.benchmark.tasks.fruits.render import Attributes
from papa.rng import Stream
from recipes.fruits.training import Trainer, batches
from recipes.fruits.vocabulary import write_open_clip_merges
from recipes.shared import Log, half, reproducible

MERGES = "merges.txt.gz"
CLIP_BATCH = 128
CLIP_RATE = 2e-3
CLASSIFIER_BATCH = 64
CLASSIFIER_RATE = 3e-3

TEXT = {"context_length": CONTEXT, "width": 64, "heads": 4, "layers": 2}
VISION: dict[str, dict[str, Any]] = {
    "proxy": {"image_size": 32, "layers": 3, "width": 96, "head_width": 24, "patch_size": 4},
    "held_out_clip": {
        "image_size": 32,
        "timm_model_name": "test_resnet",
        "timm_pool": "avg",
        "timm_proj": "linear",
    },
    "encoder": {"image_size": 32, "layers": 2, "width": 96, "head_width": 32, "patch_size": 8},
}
CLIP_STEPS = {"proxy": 1_000, "held_out_clip": 1_500, "encoder": 1_500}
CLASSIFIER_STEPS = 2_000


def model_config(name: str, vocab_size: int) -> dict[str, Any]:
    """open_clip's configuration of one of the models."""
    towers = {"vision_cfg": VISION[name], "text_cfg": TEXT | {"vocab_size": vocab_size}}
    return {"embed_dim": 64, **towers, "custom_text": "timm_model_name" in VISION[name]}


def tokenizer(folder: Path) -> Any:
    """open_clip's tokenizer with the merges in `folder`."""
    return open_clip.SimpleTokenizer(bpe_path=str(folder / MERGES), context_length=CONTEXT)


def new_clip(name: str, vocab_size: int) -> nn.Module:
    """The untrained model, built by open_clip from its configuration."""
    config = model_config(name, vocab_size)
    build = open_clip.CustomTextCLIP if config.pop("custom_text") else open_clip.CLIP
    return build(**config)


def augmented(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Shifted by up to two pixels, a share blurred (as an autoencoder does), with noise."""
    x = torch.roll(x, (int(rng.integers(-2, 3)), int(rng.integers(-2, 3))), (2, 3))
    blurred = nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    share = torch.from_numpy(rng.random((len(x), 1, 1, 1), dtype=np.float32) * (rng.random((len(x), 1, 1, 1)) < 0.5))
    strength = torch.from_numpy(0.15 * rng.random((len(x), 1, 1, 1), dtype=np.float32))
    x = x + share.float() * (blurred - x)
    return x + strength * torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))


def contrastive(logits: Tensor, true: Tensor) -> Tensor:
    """Contrastive loss for images with several true captions; true pairs do not compete with each other.

    Args:
        logits: (n, n) scaled similarities.
        true: (n, n) whether caption j is true of image i.
    """
    total = logits.new_zeros(())
    for scores, positive in ((logits, true), (logits.T, true.T)):
        false = scores.masked_fill(positive, -torch.inf).logsumexp(1, keepdim=True)
        loss = nn.functional.softplus(false - scores) * positive
        total = total + (loss.sum(1) / positive.sum(1).clamp(min=1)).mean()
    return total / 2


@reproducible
def train_clip(
    name: str, x: Tensor, shown: list[Attributes], folder: Path, stream: Stream, log: Log, steps: int | None = None
) -> nn.Module:
    """Train one OpenCLIP model on (n, 3, 32, 32) images in [-1, 1] and their captions; saved in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_open_clip_merges(words(), folder / MERGES)
    tokens = tokenizer(folder)
    model: Any = new_clip(name, tokens.vocab_size).train()
    steps = steps or CLIP_STEPS[name]
    trainer = Trainer(name, [model], CLIP_RATE, steps, log, decay=0.05)
    rng = stream.at("train").generator()
    for _, chosen in batches(len(x), CLIP_BATCH, steps, rng):
        pictures = [shown[i] for i in chosen]
        captions = [judging_caption(picture, rng) for picture in pictures]
        true = torch.tensor([[caption.true_of(picture) for caption in captions] for picture in pictures])
        image = model.encode_image(augmented(x[torch.from_numpy(chosen)], rng), normalize=True)
        text = model.encode_text(tokens([caption.text for caption in captions]), normalize=True)
        trainer.step(contrastive(model.logit_scale.exp() * image @ text.T, true))
        with torch.no_grad():
            model.logit_scale.clamp_(max=np.log(100))
    save_clip(name, model.eval(), folder, tokens.vocab_size)
    return model


def save_clip(name: str, model: nn.Module, folder: Path, vocab_size: int) -> None:
    """A folder that open_clip loads as `local-dir:`."""
    save_file(half(model.state_dict()), folder / "open_clip_model.safetensors")
    unit = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": model_config(name, vocab_size), "preprocess_cfg": unit}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


@reproducible
def train_attributes(
    new_net: Callable[[], AttributeClassifier],
    x: Tensor,
    shown: list[Attributes],
    stream: Stream,
    log: Log,
    steps: int = CLASSIFIER_STEPS,
) -> AttributeClassifier:
    """Train a classifier of the true (kind, colour, count) on (n, 3, 32, 32) images in [-1, 1]."""
    concepts = torch.tensor([picture.concept for picture in shown])
    net = new_net().train()
    trainer = Trainer("attributes", [net], CLASSIFIER_RATE, steps, log, decay=0.02)
    rng = stream.at("train").generator()
    for _, chosen in batches(len(x), CLASSIFIER_BATCH, steps, rng):
        index = torch.from_numpy(chosen)
        logits = net(augmented(x[index], rng))
        trainer.step(nn.functional.cross_entropy(logits, concepts[index], label_smoothing=0.02))
    return net.eval()
