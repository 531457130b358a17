"""How the registries name things: "module:attribute", imported when it is needed. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from papa.errors import SettingsError
from papa.settings import unknown


def module_of(target: str) -> str:
    """The module of "module:attribute"."""
    return target.partition(":")[0]


def load(target: str) -> Any:
    """Import "module:attribute"."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def find(kind: str, registry: Mapping[str, str], name: str) -> Any:
    """What a registry has under a name.

    Args:    kind: what the error calls it, for example "method".
    Raises:  SettingsError that names the nearest known name.
    """
    if name not in registry:
        raise SettingsError(unknown(kind, name, registry))
    return load(registry[name])


class Declared:
    """Something that is described without being loaded; target is the "module:Class" of its implementation."""

    target: str

    @property
    def module(self) -> str:
        """The module of the implementation."""
        return module_of(self.target)

    def load(self) -> Any:
        """The class that implements it."""
        return load(self.target)
