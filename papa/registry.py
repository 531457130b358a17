"""Registries map names to "module:attribute", which is imported when it is used. No torch."""

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
    """The entry of a registry, imported; `kind` is its name in errors, for example "method"."""
    if name not in registry:
        raise SettingsError(unknown(kind, name, registry))
    return load(registry[name])


class Declared:
    """A declaration of something that is not loaded yet. target: "module:Class" of its implementation."""

    target: str

    @property
    def module(self) -> str:
        """The module of the implementation."""
        return module_of(self.target)

    def load(self) -> Any:
        """The class that implements it."""
        return load(self.target)


class _Lazy:
    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


def lazy(*names: str) -> Any:
    """Stand-ins for modules, which import them at the first use of an attribute."""
    modules = [_Lazy(name) for name in names]
    return modules[0] if len(modules) == 1 else modules
