"""The recipe of the hasty judge of `fruits`: a small classifier that is trained on few renders, in half a minute.

Run it with `papa prepare --task fruits --part hasty --retrain`. It is right about the kind of 85 to 90% of renders that
it has not seen, and a strong optimizer finds the pictures that it is wrong about.
"""

from __future__ import annotations

import numpy as np
from safetensors.torch import save_file

from papa.benchmark.tasks.fruits.nets import hasty_judge
from papa.benchmark.tasks.fruits.render import CONCEPTS, pictures
from papa.benchmark.tasks.fruits.task import HASTY
from papa.benchmark.tasks.images import ClassifierJudge, to_range
from papa.files import write_atomic
from papa.rng import Stream
from recipes.fruits.judging import train_attributes
from recipes.shared import Log, hashes, install, staging, write_card

SEED = 2026
PICTURES = 160
"""Renders that it learns from, twenty of each kind."""
STEPS = 400
HELD_OUT = 2048
"""Renders on which its accuracy is measured."""


def retrain(log: Log, steps: int | None = None) -> None:
    """Train the judge in a folder of its own, measure it, and put it in the place of the shipped one."""
    place, stream = staging(HASTY, steps), Stream(SEED).at("fruits", "hasty")
    place.mkdir(parents=True, exist_ok=True)
    images, shown = pictures(PICTURES, stream.at("pictures").generator())
    net = train_attributes(hasty_judge, to_range(images), shown, stream, log, steps or STEPS)
    half = {key: value.half().contiguous() for key, value in net.state_dict().items()}
    save_file(half, place / "judge.safetensors")
    images, shown = pictures(HELD_OUT, stream.at("held-out").generator())
    said = ClassifierJudge(net).probabilities(to_range(images)).argmax(1)
    kinds = np.array([kind for kind, _, _ in CONCEPTS])
    right = {
        "kind_accuracy": float(np.mean(kinds[said] == [picture.kind for picture in shown])),
        "concept_accuracy": float(np.mean(said == [picture.concept for picture in shown])),
    }
    digests = hashes(place)
    recipe = {"seed": SEED, "pictures": PICTURES, "steps": steps or STEPS}
    write_card(place, {"name": HASTY, "recipe": recipe, "sha256": digests, "figures": right})
    files = "\n".join(f"| `{name}` | `{digest}` |" for name, digest in sorted(digests.items()))
    write_atomic(
        place / "README.md",
        f"""# Model card: the hasty judge of fruits

Made by `papa prepare --task fruits --part hasty --retrain`; this page is generated.

* **Data.** {PICTURES} renders, with their true (kind, colour, count). Seed {SEED}.
* **Network.** Three convolutional blocks of 8, 16 and 24 channels, {recipe["steps"]} steps.
* **On {HELD_OUT:,} renders that it has not seen**: kind right {right["kind_accuracy"]:.3f}, all three right
  {right["concept_accuracy"]:.3f}. It labels for users of kind `hasty`; the other judges of the task tell how much of
  what it likes is what it was asked for.

| file | sha256 |
|:--|:--|
{files}
""",
    )
    install(place, HASTY)
    log(f"{HASTY}: kind right {right['kind_accuracy']:.3f}")
