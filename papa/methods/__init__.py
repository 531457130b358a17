"""The alignment methods: one folder and one line each.

A folder's `__init__.py` holds the settings and the declaration and imports no torch; `method.py` holds the method. A
line may name a folder outside of this package.
"""

from __future__ import annotations

from typing import Any

from papa.errors import LabelsError
from papa.methods.declaration import Declaration, MethodSettings, Pictures
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
    """What is known of a method without loading it.

    Raises:  SettingsError that names the nearest known method.
    """
    return find("method", METHODS, name)


def load_method(name: str) -> Any:
    """The class of a method, a subclass of `papa.methods.interface.Method`.

    Raises:  SettingsError that names the nearest known method.
    """
    return declaration(name).load()


def learning_from(kind: Pictures) -> list[str]:
    """The methods that learn from labels of pictures which they did not draw. kind: grades or pairs of pictures."""
    return [name for name in METHODS if kind in declaration(name).pictures]


def refuse_given(name: str, settings: MethodSettings, kind: Pictures) -> None:
    """Refuse labels of pictures that exist already, for a method that cannot learn from them.

    Args:    kind: what the labels are, grades or pairs of pictures.
    Raises:  LabelsError that names methods which can.
    """
    pictures = declaration(name).pictures
    if kind not in pictures:
        what = (
            f"{' or '.join(sorted(pictures))} of pictures, not from {kind}"
            if pictures
            else "nothing that it did not draw itself"
        )
        raise LabelsError(
            f"{name} learns from {what}, so labels of pictures that exist already are of no use to it; methods that "
            f"learn from {kind} of pictures: {', '.join(learning_from(kind))}."
        )
    if (reason := settings.cannot_begin) is not None:
        raise LabelsError(f"{name} cannot begin with labels of pictures that exist already: {reason}.")
