"""The users: kinds are registered here, one folder and one line each; tastes are configuration.

A folder's `__init__.py` holds the taste and the declaration and imports no torch; `user.py` holds the user.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from papa.benchmark.config import AnswerModel
from papa.benchmark.users.declaration import UserKind, UserSpec
from papa.errors import SettingsError
from papa.registry import find
from papa.settings import unknown, validated

KINDS: dict[str, str] = {
    "classes": "papa.benchmark.users.classes:CLASSES",
    "strokes": "papa.benchmark.users.strokes:STROKES",
    "concepts": "papa.benchmark.users.concepts:CONCEPTS",
    "union": "papa.benchmark.users.concepts:UNION",
    "conjunction": "papa.benchmark.users.conjunctions:CONJUNCTION",
    "hasty": "papa.benchmark.users.hasty:HASTY",
    "member": "papa.benchmark.users.members:MEMBER",
    "reward": "papa.benchmark.users.rewards:REWARD",
    "component": "papa.benchmark.users.rewards:COMPONENT",
}

OF_ANOTHER = (*AnswerModel.model_fields, "then")
"""What a user who is made of another one may have."""


def kind(name: str) -> UserKind:
    """A kind of user.

    Raises:  SettingsError that names the nearest known kind.
    """
    return find("kind of user", KINDS, name)


def user_spec(
    label: str, own: Mapping[str, Mapping[str, Any]], configured: Mapping[str, Mapping[str, Any]], where: str
) -> UserSpec:
    """The user of a label.

    Args:    own: the tastes that come with the task. configured: the `users` of the configuration. where: the place
             that an error names.
    Raises:  SettingsError for an unknown label, or an entry that is not a user.
    """
    return _Tastes(own, configured).resolved(label, label, where, ())


@dataclass(frozen=True)
class _Tastes:
    """The users that there are: those that come with a task, and those of a configuration."""

    own: Mapping[str, Mapping[str, Any]]
    configured: Mapping[str, Mapping[str, Any]]

    def resolved(self, label: str, name: str, where: str, below: tuple[str, ...]) -> UserSpec:
        """The user of a name, under a label. below: the users that are made of it."""
        entry, place = self.entry(name, where, below), f"users.{name}"
        manner = validated(
            AnswerModel, {key: entry.pop(key) for key in AnswerModel.model_fields if key in entry}, place
        )
        _either(entry, place)
        if "kind" in entry:
            name_of_kind = str(entry.pop("kind"))
            try:
                found = kind(name_of_kind)
            except SettingsError as error:
                raise SettingsError(f"{place}: {error}") from None
            return UserSpec(label, name_of_kind, validated(found.taste, entry, place), manner)
        inner, then = str(entry.pop("user")), entry.pop("then", None)
        if entry:
            raise SettingsError(f"{place}: {unknown('setting', next(iter(entry)), ['user', *OF_ANOTHER])}")
        known = self.plain(label, inner, place, (*below, name))
        later = None if then is None else self.plain(label, str(then), place, (*below, name))
        return UserSpec(label, known.kind, known.taste, manner, later)

    def entry(self, name: str, where: str, below: tuple[str, ...]) -> dict[str, Any]:
        """What is said of a user: a kind and a taste, or another user."""
        if name in below:
            raise SettingsError(f"users.{name}: it is a user of itself; give it a kind and a taste.")
        if name in self.configured and name in self.own:
            raise SettingsError(f"users.{name}: the task has a user of that name already; give yours another label.")
        if name not in self.configured and name not in self.own:
            raise SettingsError(f"{where}: {unknown('user', name, {**self.own, **self.configured})}")
        return dict(self.configured[name] if name in self.configured else self.own[name])

    def plain(self, label: str, name: str, place: str, below: tuple[str, ...]) -> UserSpec:
        """Another user, who must have neither a manner of their own nor a taste that changes."""
        known = self.resolved(label, name, place, below)
        if not known.plain or known.then:
            what = "the taste of {} changes" if known.plain else "the answers of {} have another form, or noise"
            raise SettingsError(f"{place}: {what.format(name)} already; name the user without it.")
        return known


def _either(entry: Mapping[str, Any], place: str) -> None:
    """An entry without its manner has a kind or another user.

    Raises:  SettingsError for both, or neither.
    """
    if ("kind" in entry) == ("user" in entry):
        strange = next((key for key in entry if key not in ("kind", "user")), None)
        also = f" And {unknown('setting', str(strange), ['user', 'kind', *OF_ANOTHER])}" if strange else ""
        raise SettingsError(
            f"{place}: a user has either a kind and a taste ({{kind: classes, classes: [2]}}) or is another "
            "user whose answers get noise ({user: likes-3, flip: 0.2}) or whose taste changes ({user: likes-3, "
            f"then: likes-068}}).{also}"
        )
