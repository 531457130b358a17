"""RAFT: fine-tune on what was liked, and on nothing else (Dong et al. 2023, arXiv 2304.06767)."""

from __future__ import annotations

from papa.methods.declaration import Declaration
from papa.methods.shared.finetune import FinetuneSettings


class RaftSettings(FinetuneSettings):
    """RAFT: the plain denoising loss on the liked items of all rounds."""


RAFT = Declaration(RaftSettings, "papa.methods.raft.method:Raft", "RAFT (arXiv 2304.06767)")
