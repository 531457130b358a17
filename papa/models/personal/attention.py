"""Decoupled cross-attention: a network conditioned on a user beside its prompt.

In every cross-attention layer

    out = Attn(Q, K, V) + s Attn(Q, u W'_k, u W'_v)

with the layer's own queries, u the tokens of a user, and s the scale. Only W'_k and W'_v are new. They have no bias, so
zero tokens or a zero scale give exactly the unconditional network.

Source: "Personalized Preference Fine-tuning of Diffusion Models" (arXiv 2501.06655); the layer is IP-Adapter's
(arXiv 2308.06721).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from papa.errors import ModelError
from papa.rng import Stream


class UserConditioning:
    """The state shared by the user attention of one network.

    Attributes:
        tokens: (n or 1, tokens, width) of users; None for the unconditional network.
        scale: s.
    """

    def __init__(self) -> None:
        self.tokens: Tensor | None = None
        self.scale = 1.0


class UserAttention(nn.Module):
    """An attention processor that adds user attention to another one; all layers share the state."""

    def __init__(self, attn: Attention, inner: Any, width: int, state: UserConditioning) -> None:
        super().__init__()
        self.inner, self.state = inner, state
        like = attn.to_q.weight
        self.user_k, self.user_v = (
            nn.Linear(width, attn.inner_dim, bias=False, device=like.device, dtype=torch.float32) for _ in range(2)
        )

    def __call__(self, attn: Any, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """As any attention processor: (n, positions, channels) -> the same, or (n, channels, h, w)."""
        out = self.inner(attn, hidden_states, *args, **kwargs)
        tokens, scale = self.state.tokens, self.state.scale
        return out if tokens is None or scale == 0 else out + scale * self.person(attn, hidden_states, tokens)

    def person(self, attn: Any, hidden_states: Tensor, tokens: Tensor) -> Tensor:
        """Attn(Q, u W'_k, u W'_v) through the layer's output projection, whose bias `inner` has added already."""
        shape = hidden_states.shape
        x = hidden_states.flatten(2).transpose(1, 2) if len(shape) == 4 else hidden_states
        if attn.group_norm is not None:
            x = attn.group_norm(x.transpose(1, 2)).transpose(1, 2)
        q = attn.to_q(x)
        u = tokens.expand(len(q), -1, -1).to(self.user_k.weight.dtype)
        q, k, v = (part.unflatten(2, (attn.heads, -1)).transpose(1, 2) for part in (q, self.user_k(u), self.user_v(u)))
        q = q if attn.norm_q is None else attn.norm_q(q)
        found = nn.functional.scaled_dot_product_attention(q, k.to(q.dtype), v.to(q.dtype), scale=attn.scale)
        found = found.transpose(1, 2).flatten(2)
        project = attn.to_out[0]
        added = project(found) if project.bias is None else project(found) - project.bias
        if len(shape) == 4:
            added = added.transpose(1, 2).reshape(shape)
        return added / attn.rescale_output_factor


def cross_attention(net: nn.Module) -> list[tuple[str, Attention]]:
    """The cross-attention layers of a network, with their names.

    Stable Cascade's layers attend to their own features and to the prompt at once; those are cross-attention too.
    """
    found = [
        (name, module)
        for name, module in net.named_modules()
        if isinstance(module, Attention)
        and (module.is_cross_attention or hasattr(net.get_submodule(name.rpartition(".")[0]), "kv_mapper"))
    ]
    if not found:
        raise ModelError(
            "this network has no cross-attention, so it cannot be conditioned on a user; take a model with prompts."
        )
    return found


def add_user_attention(net: nn.Module, width: int, stream: Stream) -> UserConditioning:
    """Add user attention to every cross-attention layer, in place. W'_v starts at zero, so the output is unchanged.

    The stream gives the initial W'_k (uniform, PyTorch's initialization of a linear layer).

    Returns:
        The state of the layers; set its tokens, or use `user_conditioning`.
    """
    state = UserConditioning()
    for name, attn in cross_attention(net):
        layer = UserAttention(attn, attn.processor, width, state)
        values = (2 * stream.at(name).uniform(*layer.user_k.weight.shape) - 1) / width**0.5
        layer.user_k.weight.data.copy_(torch.from_numpy(values))
        nn.init.zeros_(layer.user_v.weight)
        attn.set_processor(cast(Any, layer))
    return state


def user_state(net: nn.Module) -> UserConditioning | None:
    """The user attention's state of a network; None without user attention."""
    return next((module.state for module in net.modules() if isinstance(module, UserAttention)), None)


def projections(net: nn.Module) -> dict[str, nn.Parameter]:
    """The trainable weights of user attention, by the name of their layer."""
    return {
        f"{name.removesuffix('.processor')}.{which}": getattr(module, which).weight
        for name, module in net.named_modules()
        if isinstance(module, UserAttention)
        for which in ("user_k", "user_v")
    }


@contextmanager
def user_conditioning(state: UserConditioning, tokens: Tensor | None) -> Iterator[None]:
    """A block in which the network is conditioned on these tokens."""
    before, state.tokens = state.tokens, tokens
    try:
        yield
    finally:
        state.tokens = before
