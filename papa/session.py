"""A session: a method asks, somebody answers, the method learns; and a log that outlives a crash.

    session = Session(model, "papa", labels=80, seed=0, log="me.jsonl")
    for question in session:
        session.answer([...])          # True, False, None, a grade in [0, 1]; pairs where the question asks for them
    session.sample(16)
    session.save("aligned/")

Every answered round is appended to the log and is on the disk before the method learns from it. Opening the same log
again replays it from the seed and goes on where it stopped, so nothing that a person said is ever asked twice.

Labels of pictures that exist already (`given=papa.load_labels("rated/")`) are learned from before the first question.
`docs/sessions.md` describes the log.
"""

from __future__ import annotations

import operator
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from papa.methods.interface import Method, Preference, recording_gradients
from papa.models.interface import Model
from papa.rng import Stream
from papa.settings import validated


@dataclass(frozen=True)
class Round:
    """A round after the method has learned from it. replayed: whether its answers came from the log."""

    question: Question
    feedback: Feedback
    replayed: bool


Answerer = Callable[[Question], Feedback | Sequence[Any]]
"""Whoever answers: a question -> one answer for each item."""


class Session:
    """One person, one model, one method.

    Args:    model: what is aligned. method: a name of the registry. labels, per_round: the budget and the items of a
             round; they override `settings`. seed: everything follows from it and the answers. log: the file of all
             answers; continued if it exists. settings: the method's own. stream, base, oracle: as in
             `papa.methods.interface.Method`, for callers that share noise and samples between sessions. about: further
             entries of the log's first line, JSON-serializable; a log with other entries is refused. given: labels of
             pictures that exist already (`papa.load_labels`), the first round, before any question. They cost none of
             `labels`; the pictures are read here, and learned from with the first `ask`, `sample` or `save`.
    Raises:  SettingsError for settings that do not fit. SessionError for a log that cannot be continued. LabelsError
             for a method that cannot learn from such labels, and for a picture that cannot be read.
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
        asked = dict(settings or {}) | {
            k: v for k, v in (("labels", labels), ("per_round", per_round)) if v is not None
        }
        self.settings = validated(declared.settings, asked, method)
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
        self.method: Method[Any] = declared.load()(
            self.settings, model, stream or Stream(seed).at("session"), base, oracle
        )
        self._about = {
            "method": method,
            "settings": self.settings.model_dump(mode="json"),
            "seed": operator.index(seed),
            **dict(about or {}),
        }
        self._given = None if given is None else encode(given, self.model)  # an error here leaves the log alone
        self._log = None if log is None else Log(Path(log), self._about)
        self._lock = threading.RLock()  # one thread at a time asks, answers and learns
        self._open: Question | None = None
        self._ahead: Question | None = None
        self._learning: str | None = None
        self._replaying = False
        if self._log is not None:
            try:
                self._log.begin(None if self._given is None else self._given.line)
            except BaseException:
                self.close()
                raise

    # ------------------------------------------------------------ ask and answer

    @property
    def round(self) -> int:
        """Rounds of questions that the method has learned from; given labels are not counted."""
        return max(0, self.method.round - self.method.beforehand)

    @property
    def rounds(self) -> int:
        """Rounds in all."""
        return self.settings.rounds

    @property
    def logged(self) -> int:
        """Rounds whose answers are in the log."""
        return 0 if self._log is None else len(self._log.rounds)

    @recording_gradients
    def ask(self) -> Question:
        """The next question; the same one until it is answered.

        Raises:  SessionError after the last round.
        """
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
        """Draw the question after the open one while that is looked at, if there is one and no answer changes it.

        It is drawn by the same calls with the same noise, so it is the same question, bit for bit.
        """
        coming = self.round + 1
        drawn = self._ahead is not None and self._ahead.round == coming
        if self._open is not None and self.method.asks_the_base and coming < self.rounds and not drawn:
            self._ahead = self._shown(coming, self.method.base_query(self._items(coming), ahead=1))

    def _question(self) -> Question:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.round == self.round:
            return ahead
        return self._shown(self.round, self.method.ask(self._items(self.round)))

    def _items(self, index: int) -> int:
        """Items of a round; the last one may have fewer."""
        return min(self.settings.per_round, self.settings.labels - index * self.settings.per_round)

    def _shown(self, index: int, query: Query) -> Question:
        images = self.model.decode(query.latents).clone()  # of a pixel model, decoded images are the latents themselves
        return Question(index, query, images, self.model.marks(images))

    @recording_gradients
    def answer(self, answers: Feedback | Sequence[Any]) -> Round:
        """Answer the open question; the method learns from it.

        Args:    answers: one for each item: True, False, None, or a grade in [0, 1]; for pairs `(better, worse)` of
                 item numbers, or `Tie(i, j)`.
        Raises:  AnswerError for answers that do not fit; the question stays open. SessionError without a question.
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
        with self._undisturbed(f"round {question.round + 1}"):
            self.method.tell(question.query, feedback)
        return Round(question, feedback, replayed)

    @contextmanager
    def _undisturbed(self, what: str) -> Iterator[None]:
        """Where learning is interrupted, what was learned until then is half a round: nothing goes on from it."""
        self._learning = what
        yield
        self._learning = None

    def _begin(self) -> None:
        """Learn from the given labels, once."""
        if self._given is not None and self.method.round == 0:
            with self._undisturbed("the given labels"):
                self.method.begin(self._given.query, self._given.feedback)

    def __iter__(self) -> Iterator[Question]:
        """The questions that are left, one after another; each must be answered before the next.

        In a terminal a bar shows how many labels are given.
        """
        for _ in self.replay():
            pass
        with tqdm(total=self.settings.labels, unit="label", leave=False, disable=None) as bar:
            bar.update(min(self.round * self.settings.per_round, self.settings.labels))
            while self.round < self.rounds:
                question = self.ask()
                yield question
                if self._open is question:
                    raise SessionError(
                        f"question {question.round + 1} was not answered; call `answer` before the next one."
                    )
                bar.update(len(question.images))

    @recording_gradients
    def replay(self) -> Iterator[Round]:
        """Go through the answers in the log that the method has not learned from yet; given labels come before them.

        Raises:  SessionError where the model shows other items than those that were answered, and where an error or
                 an interruption (Ctrl-C) left a round half learned.
        """
        if self._learning is not None:
            raise SessionError(
                f"the method was interrupted while it learned from {self._learning}, and what it had learned "
                "until then is not to be used. Make the session again; with a log, it goes on from there."
            )
        self._replaying = True
        try:
            self._begin()
            while self._log is not None and self.round < min(self.logged, self.rounds):
                line = self._log.rounds[self.round]
                question, feedback = self._question(), feedback_from(line, self._log.file)
                self._log.compare(line, question)
                yield self._learn(question, feedback, replayed=True)
        finally:
            self._replaying = False

    def _catch_up(self) -> None:
        """Learn the rest of the log; not during a replay, whose caller looks at the state after a certain round."""
        if not self._replaying:
            for _ in self.replay():
                pass

    def play(self, answerer: Answerer) -> Iterator[Round]:
        """Run the whole session with a function that answers: the rounds in the log first, then new ones."""
        yield from self.replay()
        for question in self:
            yield self.answer(answerer(question))

    # ------------------------------------------------------------ the result

    @recording_gradients
    def sample(self, n: int) -> Tensor:
        """n images of the aligned result; changes nothing that was learned.

        Between the rounds of `replay` and `play`, the result is of what was learned up to that round.
        """
        if operator.index(n) < 1:
            raise SessionError(f"cannot sample {n} images; give a number from 1 on.")
        self._catch_up()
        return self.model.decode(self.method.sample(n))

    def show(self, n: int = 16) -> Image.Image:
        """The pictures of the open question side by side, in its order; without an open question n of the result.

        A notebook shows what is returned.

        Raises:  SessionError for a model of points.
        """
        images = self.sample(n) if self._open is None else self._open.images
        if images.ndim != 4:
            raise SessionError(f"{type(self.model).__name__} samples points, not images; use `sample`.")
        return grid(images)

    @recording_gradients
    def save(self, folder: str | Path, about: Mapping[str, Any] | None = None) -> Path:
        """Write the aligned model as a folder that diffusers loads, whole or not at all.

        Args:    about: further entries of `papa.json`.
        Raises:  ModelError for a method or a model that cannot be saved. SessionError for a folder that is not empty.
                 PapaError for a place that cannot be written.
        """
        self._catch_up()
        place = Path(folder).resolve()
        network = self.method.aligned()
        if place.is_file() or (place.is_dir() and any(place.iterdir())):
            raise SessionError(f"{folder} is there already; choose another folder, or delete it.")
        new = beside(place, "new")
        sweep(place)
        try:
            line = None if self._given is None else self._given.line
            began = {} if line is None else {"given": line["given"], "given_sha256": line["sha256"]}
            self.model.save(new, network, self._about | began | dict(about or {}))
            new.replace(place)
        except (OSError, SafetensorError) as error:
            raise PapaError(
                f"cannot write {folder} ({error}). The answers are kept. Free disk space or give write permission "
                "there (or choose another folder), then do the same again."
            ) from error
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return place

    def close(self) -> None:
        """Release the log, so that another session may open it; a session with a log then takes no answers."""
        if self._log is not None:
            self._log.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
