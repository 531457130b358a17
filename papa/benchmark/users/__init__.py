"""The users: kinds are registered here, one folder and one line each; tastes are configuration.

A folder's `__init__.py` holds the taste and the declaration and imports no torch; `user.py` holds the user.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from papa.benchmark.config import Noise
from papa.benchmark.users.declaration import UserKind, UserSpec
from papa.errors import SettingsError
from papa.registry import find
from papa.settings import unknown, validated

KINDS: dict[str, str] = {
    "classes": "papa.benchmark.users.classes:CLASSES",
    "strokes": "papa.benchmark.users.strokes:STROKES",
    "concepts": "papa.benchmark.users.concepts:CONCEPTS",
    "union": "papa.benchmark.users.concepts:UNION",
    "member": "papa.benchmark.users.members:MEMBER",
    "reward": "papa.benchmark.users.rewards:REWARD",
    "component": "papa.benchmark.users.rewards:COMPONENT",
}


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
    return _resolved(label, label, own, configured, where, ())


def _resolved(
    label: str,
    name: str,
    own: Mapping[str, Mapping[str, Any]],
    configured: Mapping[str, Mapping[str, Any]],
    where: str,
    below: tuple[str, ...],
) -> UserSpec:
    if name in below:
        raise SettingsError(f"users.{name}: it is a user of itself; give it a kind and a taste.")
    if name in configured and name in own:
        raise SettingsError(f"users.{name}: the task has a user of that name already; give yours another label.")
    if name not in configured and name not in own:
        raise SettingsError(f"{where}: {unknown('user', name, {**own, **configured})}")
    entry = dict(configured[name] if name in configured else own[name])
    place = f"users.{name}"
    noise = validated(Noise, {key: entry.pop(key) for key in ("flip", "missing") if key in entry}, place)
    if ("kind" in entry) == ("user" in entry):
        strange = next((key for key in entry if key not in ("kind", "user")), None)
        also = f" And {unknown('setting', str(strange), ['user', 'kind', 'flip', 'missing'])}" if strange else ""
        raise SettingsError(
            f"{place}: a user has either a kind and a taste ({{kind: classes, classes: [2]}}) or another user whose "
            f"answers get noise ({{user: likes-3, flip: 0.2}}).{also}"
        )
    if "kind" in entry:
        name_of_kind = str(entry.pop("kind"))
        try:
            found = kind(name_of_kind)
        except SettingsError as error:
            raise SettingsError(f"{place}: {error}") from None
        return UserSpec(label, name_of_kind, validated(found.taste, entry, place), noise)
    inner = str(entry.pop("user"))
    if entry:
        raise SettingsError(f"{place}: {unknown('setting', next(iter(entry)), ['user', 'kind', 'flip', 'missing'])}")
    known = _resolved(label, inner, own, configured, place, (*below, name))
    if known.noisy:
        raise SettingsError(f"{place}: the answers of {inner} have noise already; name the user without it.")
    return UserSpec(label, known.kind, known.taste, noise)
