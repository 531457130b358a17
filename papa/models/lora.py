"""Low-rank adapters (LoRA, Hu et al. 2022) on the attention layers of a network, by peft.

W x becomes W x + B A x with W frozen and B = 0 at first, so an untrained network is the base exactly.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import nn

from papa.errors import SettingsError
from papa.rng import Stream

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
"""The projections of diffusers' attention layers."""

N = TypeVar("N", bound=nn.Module)


def copy_sharing_frozen(net: N) -> N:
    """A deep copy that shares the frozen weights, so a copy of a network with adapters costs its adapters."""
    return copy.deepcopy(net, {id(p): p for p in net.parameters() if not p.requires_grad})


def add_adapters(net: nn.Module, rank: int, stream: Stream) -> None:
    """Put float32 adapters on the attention layers of a frozen network, in place.

    The stream gives the initial A (uniform, PyTorch's initialization of a linear layer).
    """
    from peft import LoraConfig, inject_adapter_in_model  # takes more than a second, and only adapters need it

    try:
        with torch.random.fork_rng(devices=[]):  # peft starts A from the global generator; it is replaced below
            inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=ATTENTION), net)
    except ValueError:
        raise SettingsError(
            "trainable: lora puts adapters on attention layers, and this task's network has none; set trainable: all."
        ) from None
    for name, layer in _adapted(net):
        for adapter in layer.lora_A:
            first, second = (cast(nn.Linear, part[adapter]).float() for part in (layer.lora_A, layer.lora_B))
            bound = 1 / math.sqrt(first.in_features)
            values = (2 * stream.at(name).uniform(*first.weight.shape) - 1) * bound
            first.weight.data.copy_(torch.from_numpy(values))
            nn.init.zeros_(second.weight)


def merged(net: N) -> N:
    """A copy with the adapters merged into the weights, in the architecture without adapters."""
    plain: Any = copy.deepcopy(net)
    for name, layer in _adapted(plain):
        layer.merge()
        parent, _, attribute = name.rpartition(".")
        setattr(plain.get_submodule(parent), attribute, layer.get_base_layer())
    for module in plain.modules():
        if hasattr(module, "peft_config"):
            del module.peft_config
    return plain


def _adapted(net: nn.Module) -> list[tuple[str, LoraLayer]]:
    from peft.tuners.lora import LoraLayer

    return [(name, module) for name, module in net.named_modules() if isinstance(module, LoraLayer)]
