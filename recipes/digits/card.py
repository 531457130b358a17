"""The model card of the `digits` artefacts."""

from __future__ import annotations

from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.benchmark.tasks.digits import DigitsSettings
from papa.benchmark.tasks.digits.task import NAME, Digits
from papa.files import write_atomic
from papa.rng import Stream
from recipes import labelled_card
from recipes.shared import Log, write_card


def finish(stream: Stream, log: Log) -> None:
    """Measure the shipped artefacts; write `card.json` and `README.md`."""
    figures = labelled_card.measured(Digits(DigitsSettings()), stream)
    write_card(folder(NAME), verified_card(NAME) | {"figures": figures})
    write_atomic(folder(NAME) / "README.md", readme())
    log(f"digits: FID {figures['fid_to_C']:.2f}, gold accuracy {figures['gold_accuracy']:.3f}")


def readme() -> str:
    """The card as Markdown, made from `card.json`."""
    card = verified_card(NAME)
    recipe = card["recipe"]
    return labelled_card.readme(
        card,
        "digits",
        "scikit-learn's `load_digits`: 1,797 real handwritten digits, 8x8, scaled to [-1, 1].",
        f"""DDPM, `UNet2DModel` with {card["figures"]["unet_parameters"]:,} parameters,
  T = {recipe["timesteps"]}, trained on A and B, never on C: {recipe["steps"]:,} steps of
  {recipe["batch"]} images, seed {recipe["seed"]}.""",
        """**Gold judge** (labels): a small CNN trained on A. **Held-out judge**: a support vector machine on B, fitted
  where it is used. **Feature network** of FID: another CNN, trained on A and B.""",
    )
