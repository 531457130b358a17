"""Latents of Stage C: 16 channels of an EfficientNet's features, one for each 32 x 32 pixels.

The network is EfficientNetV2-S without its head, a 1 x 1 convolution to 16 channels, and a batch norm without weights,
which brings each channel to mean 0 and deviation 1. diffusers does not have it; its weights are the file
`effnet_encoder.safetensors` of stabilityai/stable-cascade. Images of 1024 pixels are resized to 768, so Stage C works
on 24 x 24.

Source: Pernias et al. 2023, "Wuerstchen" (arXiv 2306.00637); the layers' names are those of the published file.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from papa.errors import ArtefactError

CHANNELS, FEATURES, PIXELS = 16, 1280, 32
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours in [0, 1]."""


class EfficientNetEncoder(nn.Module):
    """(n, 3, H, W) images in [-1, 1], sides that are multiples of 32 -> (n, 16, H / 32, W / 32)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import efficientnet_v2_s

        self.backbone: nn.Module = efficientnet_v2_s(weights=None).features
        self.mapper = nn.Sequential(
            nn.Conv2d(FEATURES, CHANNELS, kernel_size=1, bias=False), nn.BatchNorm2d(CHANNELS, affine=False)
        )
        self.register_buffer("mean", torch.tensor(MEAN).view(-1, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(-1, 1, 1), persistent=False)

    @classmethod
    def from_file(cls, file: str | Path) -> EfficientNetEncoder:
        """The published weights, frozen."""
        if not Path(file).is_file():
            raise ArtefactError(
                f"Stage C's image encoder {file} is missing; fetch it with `hf download stabilityai/stable-cascade "
                "effnet_encoder.safetensors --local-dir FOLDER` and name the file."
            )
        encoder = cls()
        try:
            encoder.load_state_dict(load_file(file))
        except (SafetensorError, RuntimeError) as error:
            raise ArtefactError(
                f"{file} does not hold Stage C's image encoder ({str(error)[:300]}); fetch effnet_encoder.safetensors "
                "of stabilityai/stable-cascade again."
            ) from error
        return encoder.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        return self.mapper(self.backbone(((images + 1) / 2 - self.mean) / self.deviation))
