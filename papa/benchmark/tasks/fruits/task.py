"""The fruits: the shipped pipeline, its judges and its references.

Everything that `sd15` has at full scale, on any CPU: a `StableDiffusionPipeline` (32x32 pictures, 4x8x8
latents), an OpenCLIP proxy that labels, a second OpenCLIP of another architecture and a classifier of the
true attributes that no method ever queries. See `papa/data/fruits/README.md` for the model card.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from papa.benchmark.runs.key import module_hash
from papa.benchmark.runs.record import arrays_of, npz_bytes
from papa.benchmark.tasks.artefacts import folder, verified_card
from papa.benchmark.tasks.fruits.attributes import AttributeShares, sentence
from papa.benchmark.tasks.fruits.captions import concept_prompt, on
from papa.benchmark.tasks.fruits.clip import clip_judge, concepts
from papa.benchmark.tasks.fruits.nets import attribute_judge, feature_network, hasty_judge
from papa.benchmark.tasks.fruits.personal import load
from papa.benchmark.tasks.fruits.render import BACKGROUNDS, CONCEPTS, pictures
from papa.benchmark.tasks.images import Classifier, ClassifierJudge, StandardizedFeatures, load_classifier, to_range
from papa.benchmark.tasks.interface import Judge, References
from papa.benchmark.tasks.prompts import ClipJudge
from papa.benchmark.tasks.text_to_image import TextToImage
from papa.files import write_atomic
from papa.models.personal.adapter import UserAdapter
from papa.models.pipeline import PipelineModel
from papa.rng import Stream

NAME = "fruits"
HASTY = "fruits_hasty"
REFERENCES = 2048
"""Number of rendered reference images, and of those for the floor; no network was trained on either set."""


@cache
def renders(part: str, store: Path | None = None) -> tuple[Tensor, np.ndarray]:
    """(REFERENCES, 3, 32, 32) newly rendered images in [-1, 1] and their (REFERENCES,) concepts; kept in `store`.

    Painting them takes 8 s. The file's name holds a hash of the code that paints.

    Raises:  RecordError for a damaged file.
    """
    file = None if store is None else store / f"{part}-{module_hash(pictures.__module__)[:16]}.npz"
    if file is not None and file.is_file():
        kept = arrays_of(file.read_bytes(), file)
        return to_range(kept["images"]), kept["concepts"]
    images, shown = pictures(REFERENCES, Stream(0).at(NAME, part).generator())
    concepts = np.array([what.concept for what in shown])
    if file is not None:
        write_atomic(file, npz_bytes({"images": images, "concepts": concepts}))
    return to_range(images), concepts


class Fruits(TextToImage):
    """32x32 images of fruit."""

    concepts = concepts()
    retained = {"banana": "a photo of a banana", "apple": "a photo of an apple", "pear": "a photo of a pear"}

    def load_model(self) -> PipelineModel:
        self.card: dict[str, Any] = verified_card(NAME)
        place = folder(NAME) / "pipeline"
        model = PipelineModel.from_folder(place, self.settings, spread=self.card["spread"], device=self.device)
        model.personal = self.personal
        return model

    def check(self, log: Callable[[str], None]) -> None:
        """The proxy's self-check; the reference images of every run are rendered."""
        super().check(log)
        self.references()

    def proxy(self) -> ClipJudge:
        return self._proxy

    @cached_property
    def _proxy(self) -> ClipJudge:
        return clip_judge(folder(NAME) / "proxy", self.settings.temperature, self.device)

    def personal(self, kind: str = "ppd") -> UserAdapter:
        """A shipped adapter with its user encoder."""
        return load(kind, self.device)

    def attribute_judges(self) -> dict[str, AttributeShares]:
        """The judge that labels, and one that no personal model was trained on."""
        held_out = clip_judge(folder(NAME) / "held_out_clip", None, self.device)
        return {"gold": self._attributes, "held_out": AttributeShares(held_out)}

    def in_words(self, taste: Mapping[str, np.ndarray]) -> tuple[str, str]:
        """Captions of the most and the least preferred value of each attribute."""
        liked, disliked = ({name: int(pick(w)) for name, w in taste.items()} for pick in (np.argmax, np.argmin))
        return sentence(liked), sentence(disliked)

    def sentences(self) -> list[str]:
        """Captions of every concept on every background."""
        return [concept_prompt(*concept) + on(background) for concept in CONCEPTS for background in BACKGROUNDS]

    def hasty(self) -> Classifier:
        verified_card(HASTY)
        return load_classifier(hasty_judge(), folder(HASTY) / "judge.safetensors", self.device)

    def attributes(self) -> AttributeShares:
        return self._attributes

    @cached_property
    def _attributes(self) -> AttributeShares:
        return AttributeShares(self.proxy())

    def judges(self) -> dict[str, Judge]:
        attributes = load_classifier(attribute_judge(), folder(NAME) / "attributes.safetensors", self.device)
        return {
            "gold": self.proxy(),
            "held_out": clip_judge(folder(NAME) / "held_out_clip", None, self.device),
            "attributes": ClassifierJudge(attributes),
        }

    def references(self) -> References:
        net = load_classifier(feature_network(), folder(NAME) / "features.safetensors", self.device)
        features = StandardizedFeatures(net, self.other_real_images()[0])
        return References(*renders("reference", self.store), features, features.dim)

    def other_real_images(self) -> tuple[Tensor, np.ndarray]:
        return renders("floor", self.store)

    def known_images(self) -> tuple[Tensor, np.ndarray]:
        return renders("floor", self.store)
