"""The line of a session's log that says with which labels it began, and how others differ from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from papa.errors import SessionError
from papa.labels.encoding import Given
from papa.log import FEW, REMEDY, near

DIGITS = 16
"""Hexadecimal digits of a picture's sha256 in the log."""
ADVICE = "Give the labels that the session began with, or another log."


def line_of(given: Given) -> dict[str, Any]:
    """Labels as one JSON line.

    Keys: given (how many pictures), sha256 (of pictures and answers), kind, preference (null for pairs), pairs, ties,
    pictures (the beginning of each file's sha256), marks. No path of the machine stands in it.
    """
    feedback = given.feedback
    return {
        "given": len(given),
        "sha256": given.digest,
        "kind": "grades" if feedback.pairs is None else "pairs",
        "preference": [None if np.isnan(value) else float(value) for value in feedback.preference],
        "pairs": None if feedback.pairs is None else np.asarray(feedback.pairs).tolist(),
        "ties": None if feedback.ties is None else np.asarray(feedback.ties).tolist(),
        "pictures": [digest[:DIGITS] for digest in given.digests],
        "marks": given.marks,
    }


def refuse_others(logged: Mapping[str, Any] | None, given: Given | None, rounds: int, file: Path) -> None:
    """Check that a log goes on with the labels that it began with.

    Args:    logged: the line of the log; None where it has none. rounds: answered rounds in the log.
    Raises:  SessionError that names the first differences.
    """
    if given is None:
        if logged is not None:
            raise SessionError(
                f"the session log {file} began with labels of {logged['given']} pictures, and none are given here. "
                f"{ADVICE}"
            )
        return
    if logged is None:
        if rounds:
            raise SessionError(
                f"the session log {file} began without labels, and those of {len(given)} pictures are given here. "
                f"{ADVICE}"
            )
        return
    try:
        differs = list(_differences(logged, line_of(given), given.places))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise SessionError(f"the session log {file} is damaged in line 2 ({error!r}); {REMEDY}") from None
    if differs:
        more = len(differs) - FEW
        said = ", ".join(differs[:FEW]) + (f", and {more} more" if more > 0 else "")
        raise SessionError(f"the session log {file} began with other labels: {said}. {ADVICE}")


def _differences(logged: Mapping[str, Any], here: Mapping[str, Any], places: Sequence[str]) -> Iterator[str]:
    for name, what in (("kind", "kind of labels"), ("given", "number of pictures")):
        if logged[name] != here[name]:
            yield f"the {what} is {logged[name]} in the log and {here[name]} here"
            return
    then, now = logged["pictures"], here["pictures"]
    if then != now and sorted(then) == sorted(now):
        yield "the pictures are the same in another order"
        return
    for index, place in enumerate(places):
        if then[index] != now[index]:
            yield f"picture {index + 1}, {place}, is another one"
        elif logged["preference"][index] != here["preference"][index]:
            yield (
                f"the grade of picture {index + 1}, {place}, is {logged['preference'][index]} in the log and "
                f"{here['preference'][index]} here"
            )
    for name in ("pairs", "ties"):
        if logged[name] != here[name]:
            yield _other_pairs(name, logged[name], here[name])
    if not near(logged["marks"], here["marks"]):
        yield "this model sees the pictures in another size or cut"
    if logged["sha256"] != here["sha256"]:
        yield "their sha256 is another one"


def _other_pairs(name: str, then: Sequence[Any], now: Sequence[Any]) -> str:
    """How two lists of pairs differ; pictures are counted from 1."""
    if len(then) != len(now):
        return f"the number of {name} is {len(then)} in the log and {len(now)} here"
    index = next(index for index, (one, other) in enumerate(zip(then, now, strict=True)) if one != other)
    one, other = ([number + 1 for number in pairs[index]] for pairs in (then, now))
    return f"number {index + 1} of the {name} is of the pictures {one} in the log and {other} here"
