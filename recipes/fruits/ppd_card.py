"""The model card of the PPD artefacts of `fruits`."""

from __future__ import annotations

from pathlib import Path

from papa.benchmark.personal.population import SEEN, TUNING, UNSEEN
from papa.benchmark.tasks.fruits.personal import NAME
from papa.files import write_atomic
from papa.models.personal.adapter import read_adapter
from recipes.shared import hashes, write_card

WHAT = {
    "ppd": "the method",
    "dpo": "Diffusion-DPO without persons: every pair is shown without whose it is",
    "shuffled": "a control: every pair belongs to a random person",
    "pixels": "a control: pixel statistics in the place of the encoder",
}


def finish(place: Path, seed: int, steps: str) -> None:
    """Write `card.json` and `README.md` beside the artefacts."""
    adapters = {file.stem: read_adapter(file).about for file in sorted(place.glob("*.safetensors"))}
    curves = {
        name: {
            key: round(float(about.recipe["curve"][-1][key]), 4) for key in ("step", "held_out_loss", "held_out_right")
        }
        for name, about in adapters.items()
    }
    digests = hashes(place)
    write_card(place, {"name": NAME, "recipe": {"seed": seed, "steps": steps}, "sha256": digests, "figures": curves})
    size = sum((place / name).stat().st_size for name in digests) / 1e6
    rows = "\n".join(
        f"| `{name}` | {WHAT[name]} | {end['step']:.0f} | {end['held_out_loss']:.4f} | {end['held_out_right']:.3f} |"
        for name, end in curves.items()
    )
    files = "\n".join(f"| `{name}` | `{digest}` |" for name, digest in sorted(digests.items()))
    write_atomic(
        place / "README.md",
        f"""# Model card: PPD on fruits

Made by `papa prepare --task fruits --part ppd --retrain`; this page is generated. {size:.1f} MB in all.

* **Data.** Choices of {SEEN} simulated persons between base samples of the `fruits` model
  (`papa/benchmark/personal/population.py`, `recipes/fruits/choices.py`); {UNSEEN} more persons were never seen, and
  {TUNING} others were there for choosing settings. Seed {seed}.
* **User encoder** (`encoder`): the image tower of a third OpenCLIP model, on pictures of its own. It labels nothing
  and judges nothing.
* **Adapters**: decoupled cross-attention on the `fruits` UNet, whose weights do not change (`docs/ppd.md`).

| adapter | what it is | steps | loss of held-out persons (log 2 = 0.6931) | right margins |
|:--|:--|--:|--:|--:|
{rows}

| file | sha256 |
|:--|:--|
{files}
""",
    )
