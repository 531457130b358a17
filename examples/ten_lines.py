"""The ten lines of the README, on the shipped pipeline loaded as a stranger's, for somebody who likes bananas.

    python examples/ten_lines.py --out bananas

The one who answers is a small CLIP. Before and after are drawn by plain diffusers from the two folders and judged by
another CLIP, of other pictures, that nobody asked.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, EulerAncestralDiscreteScheduler
from torch import Tensor

from papa import Model, Session
from papa.benchmark.tasks.fruits import FruitsSettings
from papa.benchmark.tasks.fruits.task import Fruits

SHIPPED = Path(__file__).parents[1] / "papa" / "data" / "fruits" / "pipeline"
PROMPT, GUIDANCE = "a photo of fruit", 2.0


def drawn(folder: Path, n: int, steps: int) -> Tensor:
    """(n, 3, H, W) pictures of a folder in [-1, 1], by diffusers alone."""
    pipe = DiffusionPipeline.from_pretrained(folder, local_files_only=True, torch_dtype=torch.float32)
    pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    given = {"num_inference_steps": steps, "guidance_scale": GUIDANCE, "output_type": "pt"}
    return 2 * pipe([PROMPT] * n, generator=torch.Generator().manual_seed(0), **given).images - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--labels", type=int, default=40, help="pictures to be judged (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=10, help="denoising steps (default: %(default)s)")
    parser.add_argument("--drawn", type=int, default=256, help="pictures before and after (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("bananas"), help="folder of the aligned pipeline")
    args = parser.parse_args()
    judges = Fruits(FruitsSettings()).judges()

    def bananas(images: Tensor, judge: str = "gold") -> list[bool]:
        kinds = [concept["kind"] for concept in Fruits.concepts]
        return [kinds[i] == "banana" for i in judges[judge].probabilities(images).argmax(1)]

    model = Model.from_pretrained(SHIPPED, prompt=PROMPT, steps=args.steps, guidance_scale=GUIDANCE, chunk=64)
    session = Session(model, "papa", labels=args.labels, seed=0, settings={"c_qpde": 0.5, "items": 13})
    for question in session:
        session.answer(bananas(question.images))
    session.save(args.out)

    for name, folder in (("before", SHIPPED), ("after", args.out)):
        found = bananas(drawn(folder, args.drawn, args.steps), "held_out")
        print(
            f"{name}: {sum(found) / len(found):.0%} of {len(found)} pictures are bananas, by a judge that nobody asked"
        )


if __name__ == "__main__":
    main()
