"""Align a diffusers pipeline to a taste: here to red pictures, with a rule in the place of a person.

    python examples/align_your_pipeline.py --pipeline papa/data/fruits/pipeline --out aligned

Any folder in the layout of `StableDiffusionPipeline.save_pretrained` will do. Stop it and run it again: no answered
round is asked twice, for the answers are in the log.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import Tensor

from papa import PipelineModel, Session
from papa.models.settings import PipelineSettings

SHIPPED = Path(__file__).parents[1] / "papa" / "data" / "fruits" / "pipeline"


def redness(images: Tensor) -> Tensor:
    """(n, 3, H, W) images in [-1, 1] -> (n,) how much red there is beyond green and blue."""
    return (images[:, 0] - images[:, 1:].mean(1)).clamp(min=0).mean((1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pipeline", type=Path, default=SHIPPED, help="folder of the pipeline (default: the fruits)")
    parser.add_argument("--prompt", default="a photo of fruit")
    parser.add_argument("--labels", type=int, default=40, help="pictures to be judged (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=10, help="denoising steps (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("aligned"), help="folder of the aligned pipeline")
    args = parser.parse_args()

    settings = PipelineSettings(prompt=args.prompt, steps=args.steps, guidance_scale=2, chunk=64)
    model = PipelineModel.from_folder(args.pipeline, settings)
    log = args.out.with_name(args.out.name + ".jsonl")
    # The pipeline as it is, from the same noise. Not by the session below: resumed, it has learned already.
    before = redness(Session(model, "base").sample(32))
    likes = before.median()  # redder than half of what the pipeline draws
    with Session(model, "papa", labels=args.labels, log=log, settings={"c_qpde": 0.5, "items": 16}) as session:
        for question in session:
            answers = (redness(question.images) > likes).tolist()
            session.answer(answers)
            print(f"round {session.round} of {session.rounds}: {sum(answers)} of {len(answers)} liked", flush=True)
        after = redness(session.sample(32))
        session.save(args.out)
    print(f"liked: {(before > likes).float().mean():.0%} before, {(after > likes).float().mean():.0%} after")
    print(f"{args.out}: load it with StableDiffusionPipeline.from_pretrained; the answers are in {log}")


if __name__ == "__main__":
    main()
