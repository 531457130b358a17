"""The JSON schema of the configuration, generated from the settings classes."""

from __future__ import annotations

from typing import Any

from papa.benchmark.config import Config
from papa.benchmark.registry import METHODS, TASKS


def config_schema() -> dict[str, Any]:
    """The schema of a configuration file, with the settings of every task and method in their places.

    A file that `extends` another one may leave out what that one says.
    """
    schema = Config.model_json_schema()
    schema["properties"]["extends"] = {"type": "string", "description": "File whose top-level keys hold where absent."}
    required = schema.pop("required")
    schema["if"], schema["then"] = {"not": {"required": ["extends"]}}, {"required": required}
    definitions = schema.setdefault("$defs", {})
    variants: list[dict[str, Any]] = []
    for name, entry in METHODS.items():
        own = entry.settings.model_json_schema()
        definitions.update(own.pop("$defs", {}))
        own["properties"] = {"algorithm": {"const": name}, **own["properties"]}
        own["title"] = name
        variants.append(own)
    schema["properties"]["methods"]["additionalProperties"] = {"anyOf": variants}
    tasks = {}
    for name, entry in TASKS.items():
        own = entry.settings.model_json_schema()
        definitions.update(own.pop("$defs", {}))
        tasks[name] = own
    schema["properties"]["tasks"] |= {"properties": tasks, "additionalProperties": False}
    return schema
