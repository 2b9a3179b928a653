"""The JSON Schema of nsvisor.toml, for editors: `python -m supervisor.spec.schema > conf/schema.json`."""

import json
import sys
from typing import Any

import msgspec

from supervisor.spec.model import Supervisor, Worker

_UNIT_FORMS = {"duration": r"^-?[0-9. a-z]+$", "size": r"^[0-9.]+ ?[KMGTk]?i?B?$"}


def schema() -> dict[str, Any]:
    """Made from the model. What keys must agree on is left to the loader."""
    _, definitions = msgspec.json.schema_components([Supervisor, Worker], ref_template="#/$defs/{name}")
    worker = definitions["Worker"]
    del worker["properties"]["name"]  # the table's name
    del definitions["Security"]["properties"]["seccomp_profile"]  # what the file of its seccomp says
    for name in ("Profile", "Rule", "Comparison", "Condition"):
        del definitions[name]
    del worker["required"]  # [defaults] may give what a worker lacks
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nsvisor.toml",
        "type": "object",
        "properties": {
            "supervisor": {"$ref": "#/$defs/Supervisor"},
            "defaults": {"$ref": "#/$defs/Worker", "description": "What every worker inherits."},
            "worker": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Worker"}},
        },
        "additionalProperties": False,
        "$defs": {name: _readable(definition) for name, definition in sorted(definitions.items())},
    }


def _readable(node: Any) -> Any:
    """Units as people write them, and nothing that TOML has not: no null, no marks of the loader's."""
    if isinstance(node, list):
        return [_readable(item) for item in node if item != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    unit = node.get("x-unit")
    readable = {
        key: _readable(value)
        for key, value in node.items()
        if not key.startswith("x-") and not (key == "default" and (value is None or isinstance(value, dict)))
    }
    if unit is not None:
        readable = {"type": [readable.pop("type"), "string"], "pattern": _UNIT_FORMS[unit], **readable}
    choices = readable.get("anyOf", ())
    if len(choices) == 1:
        del readable["anyOf"]
        readable = {**choices[0], **readable}
    return readable


def text() -> str:
    """The schema as it is kept in conf/schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
