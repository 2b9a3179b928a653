"""[defaults] under a worker's own table."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from supervisor.spec.convert import Values, fields_of

S = TypeVar("S", bound=msgspec.Struct)

# Keys that only one kind of a table has: a worker that names another kind does not inherit them.
_OF_KIND: Mapping[str, Mapping[str, str]] = {
    "rootfs": {"path": "dir", "writable": "dir", "idmap": "dir"},
    "ready": {"address": "tcp", "url": "http", "status": "http", "command": "command", "pattern": "log"},
    "health": {"address": "tcp", "url": "http", "status": "http", "command": "command"},
}


def merge(base: Values, over: Values) -> Values:
    """Tables are merged key by key, env variable by variable; all else of `over` replaces what `base` has."""
    merged = merge_tables(base, over)
    if "id_map" in over:
        _drop(merged, over, ("uid_map", "gid_map"))
    if over.get("id_map", "auto") != "auto" or "uid_map" in over:
        _drop(merged, over, ("id_count",))
    for table, kinds in _OF_KIND.items():
        kind = over.get(table, {}).get("kind")
        if kind is not None:
            _drop(merged[table], over[table], [key for key, of in kinds.items() if of != kind])
    return merged


def merge_tables(base: Values, over: Values) -> Values:
    """Both tables as one; where both have a value, that of `over`."""
    merged = dict(base)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = merge_tables(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _drop(merged: Values, over: Values, names: Iterator[str] | list[str] | tuple[str, ...]) -> None:
    for name in names:
        if name not in over:
            merged.pop(name, None)


def build(struct: type[S], values: Values) -> S:
    """The Struct of converted values; what is not among them has its default."""
    arguments: dict[str, Any] = dict(values)
    for field in fields_of(struct).values():
        if field.kind == "table" and field.name in arguments:
            arguments[field.name] = build(field.struct, arguments[field.name])
    return struct(**arguments)


def conflicts(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Keys that two tables both set."""
    for key, value in second.items():
        if key not in first:
            continue
        other = first[key]
        if isinstance(other, dict) and isinstance(value, dict):
            for below in conflicts(other, value):
                yield (key, *below)
        else:
            yield (key,)
