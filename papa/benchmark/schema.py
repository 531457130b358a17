"""The JSON schema of the configuration, generated from the settings classes."""

from __future__ import annotations

from typing import Any

from papa.benchmark import tasks, users
from papa.benchmark.config import Block, Config
from papa.benchmark.users.interface import AnswerModel
from papa.methods import METHODS, declaration
from papa.settings import Settings


def config_schema() -> dict[str, Any]:
    """The schema of a configuration file, with the settings of every task, method and kind of user.

    A file that `extends` another one may omit required keys.
    """
    schema = Config.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    properties = schema["properties"]
    properties["extends"] = {"type": "string", "description": "The configuration whose values are the defaults."}
    blocks = {"additionalProperties": {"$ref": f"#/$defs/{Block.__name__}"}, "type": "object"}
    properties["grid_also"] = blocks | {"description": "Blocks added to the grid of the extended file."}
    required = schema.pop("required")
    schema["if"], schema["then"] = {"not": {"required": ["extends"]}}, {"required": required}

    def own(settings: type[Settings], title: str, **constants: str) -> dict[str, Any]:
        found = settings.model_json_schema()
        definitions.update(found.pop("$defs", {}))
        fixed = {key: {"const": value} for key, value in constants.items()}
        return found | {"title": title, "properties": {**fixed, **found.get("properties", {})}}

    _labelled(properties["methods"], [own(declaration(name).settings, name, algorithm=name) for name in METHODS])
    _labelled(properties["tasks"], [own(tasks.declaration(name).settings, name, task=name) for name in tasks.TASKS])
    answers = own(AnswerModel, "answers")
    kinds = [own(users.kind(name).taste, name, kind=name) for name in users.KINDS]
    for kind in kinds:
        kind["properties"] |= answers["properties"]
        kind["required"] = ["kind", *kind.get("required", [])]
    other = {
        "user": {"type": "string", "description": "Another user, with answer noise or a changing taste."},
        "then": {"type": "string", "description": "The user whose taste it has in the second half of the rounds."},
    }
    _labelled(properties["users"], [*kinds, answers | {"properties": {**other, **answers["properties"]}}])
    return schema


def _labelled(schema: dict[str, Any], variants: list[dict[str, Any]]) -> None:
    """Entries by label, each one of the variants."""
    schema.pop("patternProperties", None)
    schema["additionalProperties"] = {"anyOf": variants}
