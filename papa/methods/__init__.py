"""The alignment methods: one file and one line each.

A method's file has its settings, its class and its declaration, and imports no torch. A line may name a module outside
of this package.
"""

from __future__ import annotations

from papa.errors import LabelsError
from papa.methods.declaration import Declaration, MethodSettings, Pictures
from papa.methods.interface import Method
from papa.registry import find

METHODS: dict[str, str] = {
    "base": "papa.methods.base:BASE",
    "best_of_n": "papa.methods.best_of_n:BEST_OF_N",
    "accept": "papa.methods.accept:ACCEPT",
    "reward_model": "papa.methods.reward_model:REWARD_MODEL",
    "papa": "papa.methods.papa:PAPA",
    "epapa": "papa.methods.papa:EPAPA",
    "fkc": "papa.methods.fkc:FKC",
    "reward_guidance": "papa.methods.reward_guidance:REWARD_GUIDANCE",
    "fk_steering": "papa.methods.fk_steering:FK_STEERING",
    "das": "papa.methods.das:DAS",
    "raft": "papa.methods.raft:RAFT",
    "rwr": "papa.methods.rwr:RWR",
    "diffusion_dpo": "papa.methods.diffusion_dpo:DIFFUSION_DPO",
    "diffusion_kto": "papa.methods.diffusion_kto:DIFFUSION_KTO",
    "diffusion_nft": "papa.methods.diffusion_nft:DIFFUSION_NFT",
    "d3po": "papa.methods.d3po:D3PO",
    "ddpo": "papa.methods.ddpo:DDPO",
    "seiko": "papa.methods.seiko:SEIKO",
    "distill": "papa.methods.distill:DISTILL",
    "ppd": "papa.methods.ppd:PPD",
    "ppd_papa": "papa.methods.ppd:PPD_PAPA",
    "ppd_fkc": "papa.methods.ppd:PPD_FKC",
}


def declaration(name: str) -> Declaration:
    """The declaration of a method; for an unknown name a `SettingsError` that names the nearest known one."""
    return find("method", METHODS, name)


def load_method(name: str) -> type[Method]:
    """The class of a method; as `declaration`."""
    return declaration(name).method


def learning_from(kind: Pictures) -> list[str]:
    """The methods that learn from labels of given images."""
    return [name for name in METHODS if kind in declaration(name).pictures]


def refuse_given(name: str, settings: MethodSettings, kind: Pictures) -> None:
    """Refuse labels of given images (`LabelsError`) for a method that cannot learn from them."""
    pictures = declaration(name).pictures
    if kind not in pictures:
        what = f"{' or '.join(sorted(pictures))} of images, not from {kind}" if pictures else "its own samples only"
        raise LabelsError(
            f"{name} learns from {what}, so it cannot use labels of given images; methods that learn from {kind} of "
            f"images: {', '.join(learning_from(kind))}."
        )
    if (reason := settings.cannot_begin) is not None:
        raise LabelsError(f"{name} cannot start from labels of given images: {reason}.")
