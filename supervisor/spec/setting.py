"""A key of a worker's table and its value, each as a text on a command line."""

import tomllib
from typing import Any

import msgspec

from supervisor.spec.convert import Field, fields_of
from supervisor.spec.forms import FormError
from supervisor.spec.leaf import Leaf, LeafError, convert_leaf
from supervisor.spec.locate import Path
from supervisor.spec.model import Worker

_UNKNOWN = object()


def key_of(text: str) -> Path:
    """`limits.memory` as a path. FormError where TOML would not take it for a key."""
    try:
        table: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        table = 0
    path: tuple[str, ...] = ()
    while isinstance(table, dict) and len(table) == 1:
        ((part, table),) = table.items()
        path += (part,)
    if not path or table != 0:
        raise FormError("not a key", "such as limits.memory")
    return path


def value_of(path: Path, text: str) -> Any:
    """A value as TOML; as it stands where the key wants a string, and for an array that has this one element."""
    value = _toml(text)
    field = _field(path)
    if field is None or field.kind in ("table", "tables"):
        return text if value is _UNKNOWN else value
    if field.kind == "list" and not isinstance(value, list):
        return [_either(field.leaf, value, text)]
    return value if isinstance(value, list | dict) else _either(field.leaf, value, text)


def word_of(struct: type[msgspec.Struct], key: str, text: str) -> Any:
    """A value in KEY=VALUE,…: as it stands where the key takes that, else as TOML."""
    field = fields_of(struct).get(key)
    if field is None:
        return text
    try:
        convert_leaf(field.leaf, text)
    except LeafError:
        value = _toml(text)
        return text if value is _UNKNOWN else value
    return text


def _toml(text: str) -> Any:
    try:
        table = tomllib.loads(f"x = {text}")
    except tomllib.TOMLDecodeError:
        return _UNKNOWN
    return table["x"] if len(table) == 1 else _UNKNOWN


def _either(leaf: Leaf, value: Any, text: str) -> Any:
    """The value as TOML has it if the key takes that."""
    if value is _UNKNOWN or isinstance(value, str):
        return text if value is _UNKNOWN else value
    try:
        convert_leaf(leaf, value)
    except LeafError:
        return text
    return value


def _field(path: Path) -> Field | None:
    """What the model knows of a key, or of the map that holds it."""
    struct: Any = Worker
    for index, part in enumerate(path):
        field = fields_of(struct).get(str(part))
        if field is None:
            return None
        if field.kind != "table":
            return field if len(path) - index <= (2 if field.kind == "map" else 1) else None
        struct = field.struct
    return None
