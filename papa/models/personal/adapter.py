"""A PPD adapter on disk: the new projections as safetensors.

The header names the sha256 of the base network's weights, the encoder, the shape of the tokens and the scale, so an
adapter for another base or another encoder is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from papa.errors import ArtefactError, ModelError
from papa.files import replacing
from papa.models.personal.attention import UserAttention, UserConditioning, add_user_attention, projections
from papa.models.personal.encoder import UserEncoder
from papa.rng import Stream

FORMAT = "papa-ppd-1"


@dataclass(frozen=True)
class About:
    """The header of an adapter.

    Args:
        base: `weights_hash` of its network.
        encoder: name of the user encoder.
        tokens, width: shape of a user's tokens.
        scale: s, chosen after training.
        recipe: settings of the training.
    """

    base: str
    encoder: str
    tokens: int
    width: int
    scale: float = 1.0
    recipe: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Adapter:
    """An adapter in memory. weights: layer -> projection."""

    about: About
    weights: Mapping[str, Tensor]


def weights_hash(net: nn.Module) -> str:
    """sha256 over a network's pre-trained weights in float32, by name, without user attention."""
    digest = hashlib.sha256()
    own = {f"{name}." for name, module in net.named_modules() if isinstance(module, UserAttention)}
    for name, weight in sorted(net.state_dict().items()):
        if not any(name.startswith(prefix) for prefix in own):
            digest.update(name.encode())
            digest.update(weight.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_adapter(file: Path, net: nn.Module, about: About) -> None:
    """Write the user attention of a network, in half precision."""
    weights = {name: weight.detach().half().cpu().contiguous() for name, weight in projections(net).items()}
    header = {"format": FORMAT, "about": json.dumps(asdict(about), sort_keys=True)}
    with replacing(file) as temporary:
        save_file(weights, temporary, header)


def read_adapter(file: Path) -> Adapter:
    """An adapter file; one that is missing, damaged or no adapter is an ArtefactError."""
    if not file.is_file():
        raise ArtefactError(f"the adapter {file} is missing; give the path of a file that a PPD training wrote.")
    try:
        with safe_open(file, "pt") as opened:
            header = opened.metadata() or {}
            if header.get("format") != FORMAT:
                raise ArtefactError(
                    f"{file} is not a PPD adapter of this version (format {header.get('format')!r}, not {FORMAT!r})."
                )
            about = About(**json.loads(header["about"]))
            names = list(opened.keys())
            return Adapter(about, {name: opened.get_tensor(name).float() for name in names})
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"the adapter {file} cannot be read ({error}); fetch it or train it again.") from error


def attach(net: nn.Module, adapter: Adapter, scale: float | None = None) -> UserConditioning:
    """Add an adapter to a network of its base model, in place, with its own scale or another one."""
    about, found = adapter.about, weights_hash(net)
    if about.base != found:
        raise ModelError(
            f"this adapter was trained for a base with weights {about.base[:12]}..., and this model's are "
            f"{found[:12]}...: take its base model, or train an adapter for this one."
        )
    conditioning = add_user_attention(net, about.width, Stream(0))
    conditioning.scale = about.scale if scale is None else scale
    own = projections(net)
    if {name: tuple(w.shape) for name, w in own.items()} != {n: tuple(w.shape) for n, w in adapter.weights.items()}:
        raise ModelError("this adapter has other layers than this network; it is damaged, train it again.")
    for name, weight in own.items():
        weight.data.copy_(adapter.weights[name])
    return conditioning


@dataclass(frozen=True, eq=False)
class UserAdapter:
    """An adapter and the user encoder that it was trained with."""

    adapter: Adapter
    encoder: UserEncoder

    def __post_init__(self) -> None:
        about, encoder = self.adapter.about, self.encoder
        if (about.encoder, about.tokens, about.width) != (encoder.name, encoder.tokens, encoder.width):
            raise ModelError(
                f"this adapter was trained with the user encoder {about.encoder!r} ({about.tokens} tokens of width "
                f"{about.width}), and the encoder here is {encoder.name!r} ({encoder.tokens} of {encoder.width})."
            )
