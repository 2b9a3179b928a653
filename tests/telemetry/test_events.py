"""Every event published anywhere is described, with its level and its fields; every one described is published."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from supervisor.telemetry.events import EVENTS, reference

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"[a-z]+\.[a-z_]+")
PUBLISHERS = {"publish", "report"}  # bus.publish, Report, and what hands on to them
# They publish what they are given.
HANDING_ON = {"supervisor/telemetry/bus.py", "supervisor/policy/turn.py"}


class Published(NamedTuple):
    place: str
    event: str
    level: str | None
    fields: tuple[str, ...]


def published() -> Iterator[Published]:
    for file in sorted((ROOT / "supervisor").rglob("*.py")):
        place = str(file.relative_to(ROOT))
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and callee(node.func) in PUBLISHERS and place not in HANDING_ON:
                for event in strings(node.args[0]) if node.args else ():
                    if NAME.fullmatch(event):
                        yield Published(f"{place}:{node.lineno}", event, level(node), fields(node))


def callee(function: ast.expr) -> str:
    name = (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )
    return name.strip("_").lower()


def strings(node: ast.expr) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def level(call: ast.Call) -> str | None:
    given = [one.value for one in call.keywords if one.arg == "level"] + call.args[1:2]
    if not given:
        return "info"
    return given[0].value if isinstance(given[0], ast.Constant) and isinstance(given[0].value, str) else None


def fields(call: ast.Call) -> tuple[str, ...]:
    written = [one.arg for one in call.keywords if one.arg and one.arg not in {"level", "fields"}]
    for table in [*call.args[2:3], *(one.value for one in call.keywords if one.arg == "fields")]:
        if isinstance(table, ast.Dict):
            written += [key.value for key in table.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
    return tuple(written)


def literals() -> set[str]:
    """All strings of the program that look like an event, but for the list itself and what only reads events."""
    found = set()
    for file in (ROOT / "supervisor").rglob("*.py"):
        if file.name not in {"events.py", "metrics.py"} or file.parent.name != "telemetry":
            found |= {text for text in strings_of(ast.parse(file.read_text())) if text in EVENTS}
    return found


def strings_of(tree: ast.AST) -> Iterator[str]:
    for part in ast.walk(tree):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


@pytest.mark.parametrize("one", list(published()), ids=lambda one: f"{one.event} {one.place}")
def test_what_is_published_is_described(one: Published) -> None:
    assert one.event in EVENTS, f"{one.place}: describe {one.event} in supervisor/telemetry/events.py"
    kind = EVENTS[one.event]
    assert one.level is None or one.level in kind.levels, f"{one.place}: {one.event} at level {one.level}"
    assert set(one.fields) <= set(kind.fields), f"{one.place}: {one.event} has fields that are not described"


def test_what_is_described_is_published() -> None:
    assert sorted(set(EVENTS) - literals()) == []


@pytest.mark.parametrize("name", EVENTS)
def test_each_is_noun_verb_with_known_levels_and_distinct_fields(name: str) -> None:
    kind = EVENTS[name]
    assert NAME.fullmatch(name)
    assert kind.levels
    assert set(kind.levels) <= {"debug", "info", "warning", "error", "critical"}
    assert len(set(kind.fields)) == len(kind.fields)
    assert not {"timestamp", "level", "event"} & set(kind.fields)


def test_reference_is_up_to_date() -> None:
    written = (ROOT / "docs/reference/events.md").read_text()
    assert written == reference(), "run: python -m supervisor.telemetry.events > docs/reference/events.md"
