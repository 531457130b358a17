"""Win rates of a personal model for many members of the population, against the base from the same noise.

A member makes a few choices among base samples; the model generates images conditioned on them; an image wins if its
utility for the member is above that of another model's image from the same noise (a tie counts half). Judges of
utility: the one that labels ("gold") and one that no part was trained on ("held_out").

Protocol: "Personalized Preference Fine-tuning of Diffusion Models" (arXiv 2501.06655), experiments, with simulated
members instead of users and of a language model's judgement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from papa.benchmark.personal import SHOTS, STEPS, PersonalStudy, pick_a_pic
from papa.benchmark.personal.population import SPLITS, Person, Population, standardized
from papa.benchmark.personal.preferences import shares_of
from papa.benchmark.tasks.interface import Attributes
from papa.diffusion.denoiser import Cost
from papa.diffusion.sampler import euler_ancestral, stream_noise
from papa.models.personal.adapter import UserAdapter
from papa.models.personal.encoder import Choices, ClipEncoder, ImageEncoder, some_of
from papa.models.pipeline import PipelineModel
from papa.rng import Stream

TOLD, AVAILABLE = 4, 16
"""Default number of choices a model is conditioned on, and number of choices available."""
PICTURED = 4
"""Number of unseen users in the figure, the first ones."""
PAIRS = 48
"""Choices of each member for recognition; a classifier learns from half of them."""
Row = dict[str, Any]
Seen = Mapping[str, Mapping[str, np.ndarray]]
"""Judge -> attribute -> (n, values) probabilities."""


def win_rate(mine: np.ndarray, others: np.ndarray) -> float:
    """Share of images whose utility is above the other's; ties count half."""
    return float(np.mean((mine > others) + 0.5 * (mine == others)))


def sample_images(model: PipelineModel, prompt: str, n: int, stream: Stream) -> Tensor:
    """n images of a prompt, as stored; the same noise for every model and member."""
    noise = stream_noise(stream, (n, *model.shape), model.dtype, model.device)
    with model.prompted(prompt), torch.no_grad():
        images = model.decode(euler_ancestral(model.denoiser(Cost()), model.sigmas(), noise))
    return model.unpack(model.pack(images))


@dataclass
class Study:
    """The study of one task.

    Args:
        task: one with `personal` (its adapters), `attribute_judges`, `in_words` and `sentences`, see `fruits`.
        asked: the settings.
        pool: (n, C, H, W) base samples to choose among.
        stream: random numbers.
        log: prints progress.
    """

    task: Any
    asked: PersonalStudy
    pool: Tensor
    stream: Stream
    log: Callable[[str], None] = lambda line: None
    rows: list[Row] = field(default_factory=list)
    _models: dict[UserAdapter, PipelineModel] = field(default_factory=dict)
    _unconditional: dict[tuple[str, str], dict[str, dict[str, np.ndarray]]] = field(default_factory=dict)

    @cached_property
    def attribute_judges(self) -> Mapping[str, Attributes]:
        return self.task.attribute_judges()

    @cached_property
    def _pool(self) -> dict[str, dict[str, np.ndarray]]:
        return self.seen(self.pool)

    @cached_property
    def population(self) -> Population:
        return Population(self.attribute_judges["gold"].values)

    def persons(self, split: str, n: int) -> list[Person]:
        """The first n members of a part of the population."""
        return [self.population.person(number) for number in SPLITS[split][:n]]

    def seen(self, images: Tensor) -> dict[str, dict[str, np.ndarray]]:
        """Judge -> attribute -> (n, values) probabilities."""
        return {name: shares_of(attributes, images) for name, attributes in self.attribute_judges.items()}

    def utility(self, person: Person, judge: str, seen: Seen) -> np.ndarray:
        """(n,) utility of images by a judge, in standard deviations over the pool."""
        known = person.utility(self._pool[judge])
        return (person.utility(seen[judge]) - known.mean()) / known.std()

    def decided(self, person: Person, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Preferred and rejected images of n pairs of the pool; ties are replaced by other pairs."""
        known, better, worse = standardized(person.utility(self._pool["gold"])), [], []
        while len(better) < n:
            a, b = rng.choice(len(self.pool), 2, replace=False)
            label = person.choose(known[[a]], known[[b]], rng.random(1))[0]
            if label != 0.5:
                better.append(a if label == 1 else b)
                worse.append(b if label == 1 else a)
        return np.array(better), np.array(worse)

    def choices(self, person: Person, n: int = AVAILABLE) -> Choices:
        """The first n choices of a member."""
        better, worse = self.decided(person, n, self.stream.at("choices", person=person.number).generator())
        return Choices(self.pool[torch.from_numpy(better)], self.pool[torch.from_numpy(worse)])

    def conditioning(self, personal: UserAdapter, person: Person, shots: int = TOLD) -> Tensor:
        """Conditioning on a member's first choices."""
        return personal.encoder.encode(some_of(self.choices(person), np.arange(shots)))

    def aware(self, personal: UserAdapter, person: Person, caption: str) -> Tensor:
        """Conditioning on the choices whose images are nearest to the prompt."""
        encoder, given = personal.encoder, self.choices(person)
        assert isinstance(encoder, ClipEncoder)
        with torch.no_grad():
            near = sum(encoder.embed(side) @ encoder.texts([caption]).T for side in (given.preferred, given.rejected))
        assert isinstance(near, Tensor)
        return encoder.encode(some_of(given, near[:, 0].cpu().numpy().argsort()[::-1][:TOLD].copy()))

    def in_words(self, personal: UserAdapter, person: Person) -> Tensor:
        """Conditioning on the taste in words."""
        assert isinstance(personal.encoder, ClipEncoder)
        preferred, rejected = self.task.in_words(person.tastes[0])
        return personal.encoder.stated(preferred, rejected, self.task.sentences())

    def images_of(self, model: PipelineModel, prompt: str, of: str | None = None) -> Tensor:
        """Images of a model under `prompt`, from the noise of the prompt `of` (default: `prompt`)."""
        return sample_images(model, prompt, self.asked.images, self.stream.at("noise", of or prompt))

    def unconditional(self, kind: str, prompt: str) -> Tensor:
        """Images of a model without conditioning: "base", or "dpo", the adapter trained without it."""
        model = self.task.model
        if kind != "base":
            personal = self.task.personal(kind)
            empty = personal.encoder.encode(Choices(self.pool[:0], self.pool[:0]))
            model = model.with_adapter(personal).conditioned_on(empty)
        return self.images_of(model, prompt)

    def unconditional_seen(self, kind: str, prompt: str) -> dict[str, dict[str, np.ndarray]]:
        """Their attributes by every judge, computed once per prompt."""
        if (kind, prompt) not in self._unconditional:
            self._unconditional[kind, prompt] = self.seen(self.unconditional(kind, prompt))
        return self._unconditional[kind, prompt]

    def compare(self, person: Person, seen: Seen, prompt: str, **axes: Any) -> None:
        """Add rows: win rates and gains over the base and over DPO without conditioning."""
        about = {
            "person": person.number,
            "split": person.split,
            "consistent": person.consistent,
            "varied": person.varied,
            "prompt": prompt,
        }
        for judge in self.attribute_judges:
            mine = self.utility(person, judge, seen)
            for reference in ("base", "dpo"):
                if axes["model"] != reference:  # a model against itself is no comparison
                    others = self.utility(person, judge, self.unconditional_seen(reference, prompt))
                    value = {"won": win_rate(mine, others), "gain": float(mine.mean() - others.mean())}
                    self.rows.append(about | {"judge": judge, "reference": reference, **axes, **value})

    def run(self) -> list[Row]:
        """All parts."""
        asked, ppd = self.asked, self.task.personal("ppd")
        unseen, seen = self.persons("unseen", asked.unseen), self.persons("seen", asked.seen)
        for person in [*unseen, *seen]:
            self.main(person, ppd)
        self.log(f"personal: {len(unseen)} unseen and {len(seen)} seen persons")
        self.pictured(unseen[:PICTURED], ppd)
        for person in unseen[: asked.half]:
            self.described_otherwise(person, ppd)
            self.with_prompts(person, ppd)
        self.log(f"personal: shots, words and prompts of {asked.half} persons")
        for kind in asked.controls:
            control = self.task.personal(kind)
            for person in unseen:
                shown = self.sample(control, self.conditioning(control, person), self.generic)
                self.compare(person, shown, self.generic, part="controls", model=kind, shots=TOLD)
        self.between(unseen, ppd)
        for name in ["ppd", *(kind for kind in asked.controls if kind == "pixels")]:
            self.recognized(name)
        return self.rows

    @property
    def generic(self) -> str:
        """The prompt of the base samples."""
        return self.task.model.settings.prompt

    def images(self, personal: UserAdapter, tokens: Tensor, prompt: str) -> Tensor:
        """Images of a personal model under a conditioning."""
        if personal not in self._models:
            self._models[personal] = self.task.model.with_adapter(personal)
        return self.images_of(self._models[personal].conditioned_on(tokens), prompt)

    def sample(self, personal: UserAdapter, tokens: Tensor, prompt: str) -> Seen:
        """Attributes of those images by every judge."""
        return self.seen(self.images(personal, tokens, prompt))

    def main(self, person: Person, ppd: UserAdapter) -> None:
        """The personal model conditioned on four choices, and the one without conditioning."""
        shown = self.sample(ppd, self.conditioning(ppd, person), self.generic)
        self.compare(person, shown, self.generic, part="main", model="ppd", shots=TOLD)
        empty = self.unconditional_seen("dpo", self.generic)
        self.compare(person, empty, self.generic, part="main", model="dpo", shots=0)

    def pictured(self, persons: Sequence[Person], ppd: UserAdapter) -> None:
        """Images for the figure: choices of some members, images for them, and without conditioning."""
        for person in persons:
            given = self.choices(person, TOLD)
            images = self.images(ppd, self.conditioning(ppd, person), self.generic)
            said = " or ".join(self.task.in_words(taste)[0] for taste in person.tastes)
            for model, shown in (("preferred", given.preferred), ("rejected", given.rejected), ("ppd", images)):
                self._keep(shown, person=person.number, model=model, said=said)
        for model in ("base", "dpo"):
            self._keep(self.unconditional(model, self.generic), model=model)

    def _keep(self, images: Tensor, **about: Any) -> None:
        """A row with images side by side, as a PNG."""
        side_by_side = np.concatenate(list(self.task.model.pack(images)), 2).transpose(1, 2, 0)
        self.rows.append({"part": "pictures", "png": pick_a_pic.encoded(side_by_side), **about})

    def described_otherwise(self, person: Person, ppd: UserAdapter) -> None:
        """Other numbers of choices, words, and the words as a prompt of the base."""
        for shots in SHOTS:
            shown = self.sample(ppd, self.conditioning(ppd, person, shots), self.generic)
            self.compare(person, shown, self.generic, part="shots", model="ppd", shots=shots)
        shown = self.sample(ppd, self.in_words(ppd, person), self.generic)
        self.compare(person, shown, self.generic, part="words", model="ppd", shots=0)
        said = self.task.in_words(person.tastes[0])[0]
        shown = self.seen(self.images_of(self.task.model, said, of=self.generic))
        self.compare(person, shown, self.generic, part="words", model="caption", shots=0)

    def with_prompts(self, person: Person, ppd: UserAdapter) -> None:
        """Other prompts, with the first choices and with the choices nearest to the prompt."""
        for prompt in [*self.asked.prompts, *self.asked.new_prompts]:
            conditionings = {"prompts": self.conditioning(ppd, person), "aware": self.aware(ppd, person, prompt)}
            for part, tokens in conditionings.items():
                about = {"part": part, "model": "ppd", "shots": TOLD, "new_prompt": prompt in self.asked.new_prompts}
                self.compare(person, self.sample(ppd, tokens, prompt), prompt, **about)

    def opposites(self, persons: Sequence[Person]) -> list[tuple[Person, Person]]:
        """Each of the first members with the one of the least correlated utilities over the pool."""
        alike = np.corrcoef([person.utility(self._pool["gold"]) for person in persons])
        return [(persons[i], persons[int(alike[i].argmin())]) for i in range(min(self.asked.between, len(persons)))]

    def between(self, persons: Sequence[Person], personal: UserAdapter) -> None:
        """Interpolate between two conditionings in equal steps; utility of the images for both members."""
        for first, second in self.opposites(persons):
            a, b = self.conditioning(personal, first), self.conditioning(personal, second)
            for share in np.linspace(0, 1, STEPS).tolist():
                shown = self.sample(personal, (1 - share) * a + share * b, self.generic)
                for judge in self.attribute_judges:
                    values = {
                        f"utility_of_{name}": float(self.utility(who, judge, shown).mean())
                        for name, who in (("first", first), ("second", second))
                    }
                    about = {"part": "between", "model": "ppd", "judge": judge, "share": share}
                    self.rows.append(about | {"person": first.number, "other": second.number, **values})
        self.log("personal: interpolation")

    def recognized(self, name: str) -> None:
        """Recognize seen members from their conditioning by a linear classifier fitted to other choices.

        Figure 2 of the paper: top-1 and top-16 accuracy.
        """
        from sklearn.linear_model import LogisticRegression

        encoder = self.task.personal(name).encoder
        assert isinstance(encoder, ImageEncoder)
        features, learn, test = encoder.standardized(self.pool), [], []
        known = {person.number: person for person in self.persons("seen", self.asked.recognized)}
        for number, person in known.items():
            rng = self.stream.at("recognized", person=number).generator()
            better, worse = self.decided(person, PAIRS, rng)
            for rows, among, count in ((learn, np.arange(PAIRS // 2), 24), (test, np.arange(PAIRS // 2, PAIRS), 4)):
                for _ in range(count):
                    some = rng.choice(among, TOLD, replace=False)
                    token = encoder.pooled(features[better[some]], features[worse[some]])[1]
                    rows.append((number, token.numpy()))
        x, y = np.stack([row[1] for row in learn]), np.array([row[0] for row in learn])
        fitted = LogisticRegression(C=0.03, max_iter=200).fit(x, y)
        guessed = fitted.predict_proba(np.stack([row[1] for row in test]))
        truth = np.searchsorted(fitted.classes_, np.array([row[0] for row in test]))
        rank = (guessed > guessed[np.arange(len(truth)), truth][:, None]).sum(1)
        for person in known:
            mine = rank[fitted.classes_[truth] == person]
            value = {"top_1": float(np.mean(mine < 1)), "top_16": float(np.mean(mine < 16))}
            self.rows.append({"part": "recognized", "model": name, "person": person, **value})
        self.log(f"personal: recognized by {name}")
