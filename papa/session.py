"""A session: a method asks, the user answers, the method learns.

    session = Session(model, "papa", labels=80, seed=0, log="me.jsonl")
    for question in session:           # question.images: tensors in [-1, 1]; session.show() displays them
        session.answer([...])          # True, False, None, or a grade in [0, 1]; pairs if the question asks for them
    session.sample(16)
    session.save("aligned/")

Each answered round is on the disk before the method learns from it. Opening the same log again replays it from the
seed and continues after the last answer, so nothing is asked twice. `docs/sessions.md` describes the log.

Labels of existing images (`given=papa.load_labels("rated/")`) are learned before the first question.
"""

from __future__ import annotations

import operator
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from tqdm.auto import tqdm

from papa.errors import LabelsError, ModelError, PapaError, SessionError, SettingsError
from papa.feedback import Feedback, Query, Question, feedback_of
from papa.files import beside, sweep
from papa.images import grid
from papa.labels import Labels, encode
from papa.log import Log, feedback_from
from papa.methods import declaration, refuse_given
from papa.methods.interface import Method, Preference
from papa.models.interface import Model
from papa.rng import Stream
from papa.settings import validated

P = ParamSpec("P")
R = TypeVar("R")


def recording_gradients(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: gradients are recorded whatever the caller has set (`no_grad`, `inference_mode`, ...)."""
    return torch.inference_mode(False)(torch.enable_grad()(function))


@dataclass(frozen=True)
class Round:
    """A round that the method has learned from; `replayed` if its answers came from the log."""

    question: Question
    feedback: Feedback
    replayed: bool


class Session:
    """One user, one model, one method. Images are tensors in [-1, 1]; `papa.save_images` writes them as PNG files.

    Args:
        model: the model to align.
        method: name of the method.
        labels: number of items that the user labels in all; overrides `settings`.
        per_round: items per round; overrides `settings`.
        seed: seed of all random numbers.
        log: file of all answers; continued if it exists.
        settings: settings of the method.
        stream, base, oracle: as in `papa.methods.interface.Method`, for callers that share noise and samples between
            sessions.
        about: further entries of the log's first line, JSON-serializable; a log with other entries is refused.
        given: labels of existing images (`papa.load_labels`), learned before the first question. They use none of
            `labels`.

    Raises:
        SettingsError: for settings that do not fit.
        ModelError: if `model` is no model, or cannot be used with the method or the given labels.
        LabelsError: for a method that cannot learn from the given labels, and for an image that cannot be read.
        SessionError: for a log that cannot be continued.
    """

    @recording_gradients
    def __init__(
        self,
        model: Model,
        method: str,
        *,
        labels: int | None = None,
        per_round: int | None = None,
        seed: int = 0,
        log: str | Path | None = None,
        settings: Mapping[str, Any] | None = None,
        stream: Stream | None = None,
        base: Callable[[int], Tensor] | None = None,
        oracle: Preference | None = None,
        about: Mapping[str, Any] | None = None,
        given: Labels | None = None,
    ) -> None:
        declared = declaration(method)
        budget = {name: n for name, n in (("labels", labels), ("per_round", per_round)) if n is not None}
        self.settings = validated(declared.settings, dict(settings or {}) | budget, method)
        if not isinstance(model, Model):
            opener = "from_pretrained" if isinstance(model, str | Path) else "from_pipeline"
            raise ModelError(
                f"the model is a {type(model).__name__}; open it first: papa.Model.{opener}(..., prompt='a photo of "
                "fruit')."
            )
        if isinstance(given, str | Path):
            raise LabelsError(f"given: {given} is a path; give papa.load_labels({str(given)!r}).")
        if given is not None:
            refuse_given(method, self.settings, given.kind)
        if self.settings.needs_oracle and oracle is None:
            raise SettingsError(
                f"{method} with these settings is a control that needs the true preference; give `oracle`."
            )
        self.model = model
        self.method: Method[Any] = declared.method(
            self.settings, model, stream or Stream(seed).at("session"), base, oracle
        )
        self._about = {
            "method": method,
            "settings": self.settings.model_dump(mode="json"),
            "seed": operator.index(seed),
            **dict(about or {}),
        }
        self._given = None if given is None else encode(given, self.model)  # an error here leaves the log alone
        line = None if self._given is None else self._given.line
        self._log = None if log is None else Log(Path(log), self._about, line)
        self._lock = threading.RLock()  # one thread at a time asks, answers and learns
        self._open: Question | None = None
        self._ahead: Question | None = None
        self._learning: str | None = None
        self._replaying = False

    @property
    def round(self) -> int:
        """Number of answered questions that the method has learned from."""
        return max(0, self.method.round - self.method.beforehand)

    @property
    def rounds(self) -> int:
        """Number of rounds of the whole session."""
        return self.settings.rounds

    @property
    def logged(self) -> int:
        return 0 if self._log is None else len(self._log.rounds)

    @recording_gradients
    def ask(self) -> Question:
        """The next question; the same one until it is answered. After the last round it is a SessionError."""
        with self._lock:
            for _ in self.replay():
                pass
            if self.round >= self.rounds:
                raise SessionError(f"all {self.settings.labels} labels of this session are used; no question is left.")
            if self._open is None:
                self._open = self._question()
            return self._open

    @recording_gradients
    def ask_ahead(self) -> None:
        """Sample the next question while the user answers the open one, if the answers cannot change it.

        The same calls with the same noise give the same question, bit for bit.
        """
        coming = self.round + 1
        ready = self._ahead is not None and self._ahead.round == coming
        if self._open is not None and self.method.asks_the_base and coming < self.rounds and not ready:
            self._ahead = self._question_of(coming, self.method.base_query(self._items(coming), ahead=1))

    def _question(self) -> Question:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.round == self.round:
            return ahead
        return self._question_of(self.round, self.method.ask(self._items(self.round)))

    def _items(self, index: int) -> int:
        """Number of items of a round; the last one may have fewer."""
        return min(self.settings.per_round, self.settings.labels - index * self.settings.per_round)

    def _question_of(self, index: int, query: Query) -> Question:
        images = self.model.decode(query.latents).clone()  # of a pixel model, decoded images are the latents themselves
        return Question(index, query, images, self.model.marks(images))

    @recording_gradients
    def answer(self, answers: Feedback | Sequence[Any]) -> Round:
        """Answer the open question; the method learns from it.

        Args:
            answers: for each item True, False, a grade in [0, 1], or None; or, if the question asks for pairs, any
                number of `(preferred, rejected)` item numbers and `Tie(i, j)`.

        Returns:
            The round, after the method has learned from it.

        Raises:
            AnswerError: for answers that do not fit; the question stays open.
            SessionError: if no question is open.
            PapaError: if the log cannot be written; the question stays open and nothing was learned.
        """
        with self._lock:
            if (question := self._open) is None:
                raise SessionError("no question is open (it may have been answered already); call `ask` first.")
            feedback = feedback_of(answers, question.query)
            self.method.check(question.query, feedback)
            if self._log is not None:
                self._log.append(question, feedback)
            self._open = None
            return self._learn(question, feedback, replayed=False)

    def _learn(self, question: Question, feedback: Feedback, replayed: bool) -> Round:
        with self._uninterrupted(f"round {question.round + 1}"):
            self.method.tell(question.query, feedback)
        return Round(question, feedback, replayed)

    @contextmanager
    def _uninterrupted(self, what: str) -> Iterator[None]:
        """After an interruption the method has learned half a round; `_learning` stays set, and `replay` refuses."""
        self._learning = what
        yield
        self._learning = None

    def __iter__(self) -> Iterator[Question]:
        """The remaining questions; each must be answered before the next. A terminal shows a progress bar."""
        for _ in self.replay():
            pass
        with tqdm(total=self.settings.labels, unit="label", leave=False, disable=None) as bar:
            bar.update(min(self.round * self.settings.per_round, self.settings.labels))
            while self.round < self.rounds:
                question = self.ask()
                yield question
                if self._open is question:
                    raise SessionError(f"question {question.round + 1} was not answered; call `answer` for each one.")
                bar.update(len(question.images))

    @recording_gradients
    def replay(self) -> Iterator[Round]:
        """Learn from the given labels and from the rounds in the log, as far as that has not been done yet."""
        if self._learning is not None:
            raise SessionError(
                f"learning from {self._learning} was interrupted, so the method's state is unusable. Make the session "
                "again; with a log, it continues there."
            )
        self._replaying = True
        try:
            if self._given is not None and self.method.round == 0:
                with self._uninterrupted("the given labels"):
                    self.method.begin(self._given.query, self._given.feedback)
            while self._log is not None and self.round < min(self.logged, self.rounds):
                line = self._log.rounds[self.round]
                question, feedback = self._question(), feedback_from(line, self._log.file)
                self._log.compare(line, question)
                yield self._learn(question, feedback, replayed=True)
        finally:
            self._replaying = False

    def _catch_up(self) -> None:
        """Replay the log, unless a replay is in progress: its caller looks at the state between two rounds."""
        if not self._replaying:
            for _ in self.replay():
                pass

    def play(self, answerer: Callable[[Question], Feedback | Sequence[Any]]) -> Iterator[Round]:
        """Run the whole session, the rounds in the log first; `answerer` maps a question to what `answer` takes."""
        yield from self.replay()
        for question in self:
            yield self.answer(answerer(question))

    @recording_gradients
    def sample(self, n: int) -> Tensor:
        """Sample n >= 1 images from the aligned model; nothing that was learned changes.

        Between the rounds of `replay` and `play`, the model is as it was after that round.

        Returns:
            (n, C, H, W) images in [-1, 1], or (n, d) points; the same rows each time.
        """
        if operator.index(n) < 1:
            raise SessionError(f"cannot sample {n} images; give at least 1.")
        self._catch_up()
        return self.model.decode(self.method.sample(n))

    def show(self, n: int = 16) -> Image.Image:
        """The images of the open question side by side, in order; without one, n samples. A notebook displays them."""
        images = self.sample(n) if self._open is None else self._open.images
        if images.ndim != 4:
            raise SessionError(f"{type(self.model).__name__} samples points, not images; use `sample`.")
        return grid(images)

    @recording_gradients
    def save(self, folder: str | Path, about: Mapping[str, Any] | None = None) -> Path:
        """Write the aligned model as a folder that diffusers loads, completely or not at all.

        Args:
            folder: a new or empty folder.
            about: further entries of its `papa.json`.

        Returns:
            The folder's absolute path.

        Raises:
            ModelError: for a method or a model that cannot be saved.
            SessionError: for a folder that is not empty.
            PapaError: for a folder that cannot be written.
        """
        self._catch_up()
        place = Path(folder).resolve()
        network = self.method.aligned()
        if place.is_file() or (place.is_dir() and any(place.iterdir())):
            raise SessionError(f"{folder} exists already; choose another folder, or delete it.")
        new = beside(place, "new")
        sweep(place)
        try:
            line = None if self._given is None else self._given.line
            began = {} if line is None else {"given": line["given"], "given_sha256": line["sha256"]}
            self.model.save(new, network, self._about | began | dict(about or {}))
            new.replace(place)
        except (OSError, SafetensorError) as error:
            raise PapaError(
                f"cannot write {folder} ({error}). The answers are kept. Free disk space, give write permission there "
                "or choose another folder, then save again."
            ) from error
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return place

    def close(self) -> None:
        """Release the log, so that another session may open it. A closed session with a log takes no answers."""
        if self._log is not None:
            self._log.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
