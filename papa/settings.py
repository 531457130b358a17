"""Base of all settings: typed, frozen, validated once; errors name the place and the nearest known name. No torch."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from papa.errors import SettingsError

Positive = Annotated[int, Field(ge=1, le=10**9)]
Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, le=1e6)]
Rate = Annotated[float, Field(gt=0, le=1e6)]
Seed = Annotated[int, Field(ge=0, lt=2**63, strict=True)]

LONGEST = 80
"""Number of characters of a wrong value that an error quotes."""


class Settings(BaseModel):
    """Frozen and typed: no unknown keys, no infinities, no bool in place of a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys_and_bools(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key, value in data.items():
                if key not in cls.model_fields:
                    raise ValueError(unknown("setting", str(key), cls.model_fields))
                if isinstance(value, bool) and not _takes_bool(cls.model_fields[key].annotation):
                    raise ValueError(f"{key}: expected a number or string, got a bool ({value})")
        return data


def _takes_bool(annotation: Any) -> bool:
    return annotation in (bool, Any) or any(map(_takes_bool, get_args(annotation)))


def unknown(kind: str, name: str, known: Any) -> str:
    """The message for an unknown name: it offers the nearest known one, or all of them."""
    names = sorted(map(str, known))
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}."
    return f"unknown {kind} {name!r}; {hint}"


S = TypeVar("S", bound=Settings)


def validated(cls: type[S], data: Any, where: str = "") -> S:
    """Settings from plain data.

    Args:
        cls: the class of settings.
        data: a dictionary, for example read from YAML.
        where: prefix of every place in an error, for example `methods.papa`.
    """
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise SettingsError(describe(error, where)) from None


def describe(error: ValidationError, where: str) -> str:
    """A validation error as one paragraph that lists every place with its error."""
    sentences = []
    for item in error.errors():
        place = ".".join(str(part) for part in (where, *item["loc"]) if part != "")
        said = item["msg"].removeprefix("Value error, ").rstrip(".")
        given = "" if isinstance(item["input"], dict) else f" (given: {_short(item['input'])})"
        sentence = f"{place + ': ' if place else ''}{said}{given}"
        sentences.append(sentence if sentence.endswith("?") else f"{sentence}.")
    return "Invalid settings: " + " ".join(sentences)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
