"""The model cards of the artefacts of `mnist` and `fashion_mnist`."""

from __future__ import annotations

from typing import Any

from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.benchmark.tasks.mnist import MnistSettings
from papa.benchmark.tasks.mnist.task import Mnist
from papa.files import write_atomic
from papa.rng import Stream
from recipes import labelled_card
from recipes.mnist.base import TIMESTEPS
from recipes.shared import Log, write_card

DATA = {
    "mnist": "Handwritten digits of the MNIST database (Y. LeCun, C. Cortes, C. J. C. Burges; CC BY-SA 3.0), 28x28: "
    "the files are beside this page. As they are shipped these are its 10,000 test digits.",
    "fashion_mnist": "Pictures of clothes of Fashion-MNIST (Zalando SE; MIT licence), 28x28: the files are beside this "
    "page.",
}


def finish(task: type[Mnist], stream: Stream, log: Log) -> None:
    """Measure the artefacts in place; write `card.json` and `README.md`."""
    figures = labelled_card.measured(task(MnistSettings()), stream)
    card = verified_card(task.name) | {"figures": figures}
    write_atomic(folder(task.name) / "README.md", readme(card))
    write_card(folder(task.name), card)  # last: a card with figures is finished
    log(f"{task.name}: FID {figures['fid_to_C']:.2f}, gold accuracy {figures['gold_accuracy']:.3f}")


def readme(card: dict[str, Any]) -> str:
    """The card as Markdown, made from `card.json`."""
    name, recipe = card["name"], card["recipe"]
    return labelled_card.readme(
        card,
        name,
        DATA[name],
        f"""DDPM, `UNet2DModel` with {card["figures"]["unet_parameters"]:,} parameters,
  T = {TIMESTEPS}, linear betas from 1e-4 to 0.02, trained on A and B, never on C: batches of
  {recipe["batch"]} images, {stages(recipe)}; seed {recipe["seed"]}.""",
        """**Gold judge** (labels): a small CNN trained on A. **Held-out judge**: a support vector machine on the
  oriented gradients of B, fitted where it is used. **Feature network** of FID: another CNN, trained on A and B.""",
    )


def stages(recipe: dict[str, Any]) -> str:
    """How long a base model was trained: "12,000 steps at a learning rate of 0.002, then 18,000 at 0.001"."""
    if "before" in recipe:
        return f"{stages(recipe['before'])}, then {recipe['steps']:,} at {recipe['lr']:g}"
    return f"{recipe['steps']:,} steps at a learning rate of {recipe['lr']:g}"
