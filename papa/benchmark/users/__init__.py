"""The simulated users: a file and a line here for each kind; who they are is configuration. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from papa.benchmark.users.interface import AnswerModel, ChangingUser, NoisyUser, User, UserKind, UserSpec
from papa.errors import SettingsError
from papa.registry import find
from papa.settings import unknown, validated

KINDS: dict[str, str] = {
    "classes": "papa.benchmark.users.classes:CLASSES",
    "strokes": "papa.benchmark.users.strokes:STROKES",
    "concepts": "papa.benchmark.users.concepts:CONCEPTS",
    "union": "papa.benchmark.users.concepts:UNION",
    "hasty": "papa.benchmark.users.concepts:HASTY",
    "conjunction": "papa.benchmark.users.attributes:CONJUNCTION",
    "member": "papa.benchmark.users.attributes:MEMBER",
    "reward": "papa.benchmark.users.rewards:REWARD",
    "component": "papa.benchmark.users.rewards:COMPONENT",
}

Entries = Mapping[str, Mapping[str, Any]]
"""Label -> specification of a user in a configuration."""


def kind(name: str) -> UserKind:
    """A kind of user.

    Raises:
        SettingsError: for an unknown kind; names the nearest known one.
    """
    return find("kind of user", KINDS, name)


def user_of(spec: UserSpec) -> User:
    """A user by its description, not yet calibrated to a task."""
    user: User = kind(spec.kind).user(spec.taste)
    if spec.then is not None:
        user = ChangingUser(user, user_of(spec.then))
    return user if spec.noiseless else NoisyUser(user, spec.answer_model)


def user_spec(
    label: str, own: Entries, configured: Entries, where: str, name: str | None = None, below: tuple[str, ...] = ()
) -> UserSpec:
    """The user of a label: a kind with its taste, or another user with answer noise or a changing taste.

    Args:
        label: the label that the user gets.
        own: users that come with the task.
        configured: `users` of the configuration.
        where: the place that an error names.
        name: the entry that is read, by default the one of `label`.
        below: entries that refer to this one.

    Raises:
        SettingsError: for an unknown label, or an entry that is no user.
    """
    name = name or label
    place = f"users.{name}"
    if name in below:
        raise SettingsError(f"{place}: the user refers to itself; give it a kind and a taste.")
    if name in configured and name in own:
        raise SettingsError(f"{place}: the task has a user of that name already; give yours another label.")
    if name not in configured and name not in own:
        raise SettingsError(f"{where}: {unknown('user', name, {**own, **configured})}")
    entry = dict(configured[name] if name in configured else own[name])
    noise = {key: entry.pop(key) for key in AnswerModel.model_fields if key in entry}
    answer_model = validated(AnswerModel, noise, place)
    if ("kind" in entry) == ("user" in entry):
        raise SettingsError(
            f"{place}: a user is either a kind with a taste ({{kind: classes, classes: [2]}}) or another user with "
            "answer noise ({user: likes-3, flip: 0.2}) or a changing taste ({user: likes-3, then: likes-068})."
        )
    if "kind" in entry:
        name_of_kind = str(entry.pop("kind"))
        try:
            taste = kind(name_of_kind).taste
        except SettingsError as error:
            raise SettingsError(f"{place}: {error}") from None
        return UserSpec(label, name_of_kind, validated(taste, entry, place), answer_model)
    others: dict[str, UserSpec] = {}
    for key in ("user", "then"):
        if key in entry:
            inner = str(entry.pop(key))
            others[key] = user_spec(label, own, configured, place, inner, (*below, name))
            if others[key].then or not others[key].noiseless:
                raise SettingsError(f"{place}: user {inner} already has noise or a changing taste; name another.")
    if entry:
        known = ["user", "then", *AnswerModel.model_fields]
        raise SettingsError(f"{place}: {unknown('setting', next(iter(entry)), known)}")
    return UserSpec(label, others["user"].kind, others["user"].taste, answer_model, others.get("then"))
