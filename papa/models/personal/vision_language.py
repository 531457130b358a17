"""The user encoder of the PPD paper: a vision-language model that is prompted with the pairs.

The token of a user is the hidden state of the last token of the last layer, after the model has thought about
the pairs step by step. It is scaled to mean square 1, the scale of the other encoders' tokens.

Pairs are sorted by the hash of their content, so the token does not depend on their order.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from papa.errors import ArtefactError
from papa.files import replacing
from papa.models.personal.encoder import USER_FLAG, Choices, UserEncoder

NAME = "llava-hf/llava-onevision-qwen2-0.5b-ov-hf"
REVISION = "74dd0bf867a4cda7950c17663794267c60cf4b40"
"""The model and its commit on the hub."""

SHOWN = "Here are {n} pairs of pictures. In each, one person preferred the first picture to the second."
PAIR = "Pair {i}, of the prompt {caption!r}. Preferred, then rejected:"
ASKED = (
    "Step by step: what do the preferred pictures show that the rejected ones do not, in subject, colour, number, size "
    "and background? Then say in one sentence what this person likes."
)


class VisionLanguageEncoder(UserEncoder):
    """LLaVA-OneVision through transformers.

    Args:
        model: a name on the hub, or a folder.
        revision: a branch, tag or commit of the hub.
        thought: tokens of the step-by-step answer, greedily decoded; 0 takes the state at the end of the question.
    """

    tokens = 2

    def __init__(
        self,
        model: str | Path = NAME,
        revision: str = REVISION,
        thought: int = 128,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        from transformers import AutoProcessor, LlavaOnevisionForConditionalGeneration

        self.name, self.thought, self.device = f"{model}@{revision}, thought {thought}", thought, device
        try:
            self.processor: Any = AutoProcessor.from_pretrained(model, revision=revision)
            net: Any = LlavaOnevisionForConditionalGeneration.from_pretrained(model, revision=revision, dtype=dtype)
        except (OSError, ValueError) as error:
            raise ArtefactError(
                f"the vision-language model {model} (revision {revision}) cannot be loaded ({error}). Fetch it with "
                f"`hf download {model} --revision {revision}` where there is a network, or give its folder."
            ) from error
        self.net = net.to(device).eval().requires_grad_(False)
        self.width = int(net.config.text_config.hidden_size)

    def encode(self, choices: Choices) -> Tensor:
        flag = torch.full((1, self.width), USER_FLAG)
        if not len(choices):
            return torch.cat([flag, torch.zeros(1, self.width)])
        order = sorted(range(len(choices)), key=lambda i: content(choices.preferred[i], choices.rejected[i]))
        return torch.cat([flag, self._state(self._inputs(choices, order))])

    def _inputs(self, choices: Choices, order: list[int]) -> Any:
        said: list[dict[str, Any]] = [{"type": "text", "text": SHOWN.format(n=len(order))}]
        pictures = []
        for place, i in enumerate(order):
            caption = choices.captions[i] if choices.captions else ""
            said += [
                {"type": "text", "text": PAIR.format(i=place + 1, caption=caption)},
                {"type": "image"},
                {"type": "image"},
            ]
            pictures += [Image.fromarray(stored(image)) for image in (choices.preferred[i], choices.rejected[i])]
        said.append({"type": "text", "text": ASKED})
        text = self.processor.apply_chat_template([{"role": "user", "content": said}], add_generation_prompt=True)
        given = {"text": text, "images": pictures, "return_tensors": "pt"}
        return self.processor(**given).to(self.device)

    @torch.no_grad()
    def _state(self, inputs: Any) -> Tensor:
        """(1, width) last hidden state of the last token, of mean square 1."""
        if self.thought:
            asked = {"max_new_tokens": self.thought, "do_sample": False, "return_dict_in_generate": True}
            found = self.net.generate(**inputs, **asked, output_hidden_states=True)
            state = found.hidden_states[-1][-1][:, -1]
        else:
            state = self.net(**inputs, output_hidden_states=True).hidden_states[-1][:, -1]
        state = state.float().cpu()
        return state / state.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)


class Cached(UserEncoder):
    """An encoder with a cache on disk, by the content of the choices and the encoder's name."""

    def __init__(self, inner: UserEncoder, folder: Path) -> None:
        self.inner, self.folder = inner, folder
        self.name, self.tokens, self.width = inner.name, inner.tokens, inner.width

    def file_of(self, choices: Choices) -> Path:
        """The cache file of these choices, in any order."""
        pairs = sorted(content(p, r) for p, r in zip(choices.preferred, choices.rejected, strict=True))
        captions = sorted(choices.captions)
        digest = hashlib.sha256("\0".join([self.name, *pairs, *captions]).encode()).hexdigest()
        return self.folder / f"{digest}.safetensors"

    def encode(self, choices: Choices) -> Tensor:
        file = self.file_of(choices)
        if file.is_file():
            try:
                return load_file(file)["tokens"]
            except (SafetensorError, KeyError):  # of a killed process or a full disk: recomputed
                file.unlink()
        tokens = self.inner.encode(choices)
        with replacing(file) as temporary:
            save_file({"tokens": tokens.contiguous()}, temporary)
        return tokens


def content(preferred: Tensor, rejected: Tensor) -> str:
    """sha256 of a pair of images in uint8."""
    return hashlib.sha256(stored(preferred).tobytes() + b"|" + stored(rejected).tobytes()).hexdigest()


def stored(image: Tensor) -> np.ndarray:
    """(C, H, W) in [-1, 1] -> (H, W, C) uint8."""
    return ((image.detach().cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
