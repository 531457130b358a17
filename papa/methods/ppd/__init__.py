"""PPD: one model for everybody, told about a person by a few of their choices; and the same as a warm start.

Source: "Personalized Preference Fine-tuning of Diffusion Models" (arXiv 2501.06655).
"""

from __future__ import annotations

from papa.methods.declaration import Declaration, MethodSettings, Pictures
from papa.methods.fkc import FkcSettings
from papa.methods.papa import PapaSettings
from papa.settings import NonNegative


class PpdSettings(MethodSettings):
    """The model that is told about a person. No weight changes; every round's choices make the description better."""

    user_scale: NonNegative | None = None
    """Scale s of the person's part of the attention; 0 is the base model, None what the adapter was saved with."""

    @property
    def needs_adapter(self) -> bool:
        return True


class PpdPapaSettings(PapaSettings):
    """PAPA whose base and anchor is the model that was told about the person in the first round."""

    user_scale: NonNegative | None = None
    """As PPD's."""

    @property
    def needs_adapter(self) -> bool:
        return True

    @property
    def cannot_begin(self) -> None:
        """Nothing is in the way: the given pairs describe the person, and PAPA's own first round follows."""
        return None


class PpdFkcSettings(FkcSettings):
    """FKC whose base is the model that was told about the person in the first round."""

    user_scale: NonNegative | None = None
    """As PPD's."""

    @property
    def needs_adapter(self) -> bool:
        return True


SOURCE = "Personalized Preference Fine-tuning of Diffusion Models (arXiv 2501.06655)"
PAIRS: frozenset[Pictures] = frozenset({"pairs"})
PPD = Declaration(
    PpdSettings, "papa.methods.ppd.method:Ppd", SOURCE, pictures=PAIRS, uses=("papa.methods.papa", "papa.methods.fkc")
)
PPD_PAPA = Declaration(
    PpdPapaSettings,
    "papa.methods.ppd.warm:WarmPapa",
    f"this project; {SOURCE}",
    pictures=PAIRS,
    uses=("papa.methods.papa", "papa.methods.fkc"),
)
PPD_FKC = Declaration(
    PpdFkcSettings,
    "papa.methods.ppd.warm:WarmFkc",
    f"this project; {SOURCE}",
    pictures=PAIRS,
    uses=("papa.methods.papa", "papa.methods.fkc"),
)
