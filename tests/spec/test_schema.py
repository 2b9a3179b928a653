import tomllib
from pathlib import Path
from typing import Any

from supervisor.spec import schema

CONF = Path(__file__).parents[2] / "conf"


def test_schema_is_up_to_date() -> None:
    """If not: python -m supervisor.spec.schema > conf/schema.json."""
    assert (CONF / "schema.json").read_text() == schema.text()


def test_keys_are_those_of_the_file() -> None:
    definitions = schema.schema()["$defs"]
    assert "name" not in definitions["Worker"]["properties"]
    assert {"monotonic", "boottime"} == set(definitions["TimeOffsets"]["properties"])
    assert definitions["Stop"]["properties"]["grace"]["type"] == ["number", "string"]
    assert "x-" not in schema.text()
    assert "null" not in schema.text().replace('"null"\n', "")  # but for log.sink


def keys(node: Any, definitions: dict[str, Any], path: str = "") -> set[str]:
    if "$ref" in node:
        return keys(definitions[node["$ref"].rpartition("/")[2]], definitions, path)
    if "items" in node:
        return keys(node["items"], definitions, path)
    if "properties" not in node:
        return {path}
    return {key for name, below in node["properties"].items() for key in keys(below, definitions, f"{path}.{name}")}


def written(node: Any, path: str = "") -> set[str]:
    if isinstance(node, list) and node and isinstance(node[0], dict):
        return {key for item in node for key in written(item, path)}
    if not isinstance(node, dict) or path.endswith((".env", ".sysctls")):
        return {path}
    return {key for name, below in node.items() for key in written(below, f"{path}.{name}")}


def test_reference_names_every_key_of_the_schema() -> None:
    definitions = schema.schema()["$defs"]
    data = tomllib.loads(uncommented((CONF / "nsvisor.toml").read_text()))
    workers = {key for table in data["worker"].values() for key in written(table)}
    assert workers == keys(definitions["Worker"], definitions)
    assert written(data["supervisor"]) == keys(definitions["Supervisor"], definitions)


def uncommented(text: str) -> str:
    """Keys that are commented out, written."""
    lines = []
    for line in text.split("\n"):
        commented = line.startswith("#") and line[1:2] not in {"", " ", ":"}
        continued = line.startswith(("#  {", "#]"))
        lines.append(line[1:] if commented or continued else line)
    return "\n".join(lines)
