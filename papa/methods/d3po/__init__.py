"""D3PO: preferences between denoising steps, without a reward model (Yang et al. 2023, arXiv 2311.13231)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from papa.methods.declaration import Declaration
from papa.methods.shared.finetune import FinetuneSettings
from papa.settings import Rate


class D3poSettings(FinetuneSettings):
    """D3PO. `timesteps` counts transitions of an item; an update takes `items` / 2 pairs."""

    beta: Rate = 0.1
    """Weight of the log-ratios, the paper's value."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Ratios to the base count from 1 - clip to 1 + clip, the released value."""


D3PO = Declaration(D3poSettings, "papa.methods.d3po.method:D3po", "D3PO (arXiv 2311.13231)", pictures=frozenset())
