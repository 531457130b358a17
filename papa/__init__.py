"""papa: aligning a diffusion model to one user's taste from a few labels.

    from papa import PipelineModel, Session

The names below are imported when they are first used, so `import papa` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from papa.feedback import Tie
    from papa.images import save_images
    from papa.labels import Labels, load_labels
    from papa.methods import load_method
    from papa.models.interface import Model
    from papa.models.mixture import MixtureModel
    from papa.models.pipeline import PipelineModel
    from papa.models.unet import UNetModel
    from papa.session import Session

__version__ = "0.2.0"

_FACE = {
    "Session": "papa.session",
    "Tie": "papa.feedback",
    "Labels": "papa.labels",
    "load_labels": "papa.labels",
    "Model": "papa.models.interface",
    "PipelineModel": "papa.models.pipeline",
    "UNetModel": "papa.models.unet",
    "MixtureModel": "papa.models.mixture",
    "load_method": "papa.methods",
    "save_images": "papa.images",
}
__all__ = [
    "Labels",
    "MixtureModel",
    "Model",
    "PipelineModel",
    "Session",
    "Tie",
    "UNetModel",
    "load_labels",
    "load_method",
    "save_images",
]


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'papa' has no attribute {name!r}")
    return getattr(import_module(_FACE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FACE])
