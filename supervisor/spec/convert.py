"""A TOML table to the values of a Struct, field by field, so that every bad one is told."""

import shlex
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, get_args, get_origin

import msgspec

from supervisor.spec import forms, mounts, unsupported
from supervisor.spec.leaf import Leaf, LeafError, convert_leaf, leaf_of
from supervisor.spec.locate import Path
from supervisor.spec.model import Mount
from supervisor.spec.paths import PathError, expand
from supervisor.spec.report import Report
from supervisor.spec.show import show
from supervisor.spec.source import ABSENT, Source

NOT_YET = "not yet supported"
# Where "{index}" is replaced: see instances.py.
_INDEXED = {("command",), ("env",), ("health", "command"), ("ready", "command"), ("network", "publish"),
            ("secrets", "source"), *(("rootfs", key) for key in ("path", "upper", "work")),
            *(("mounts", key) for key in ("source", "upper", "work"))}  # fmt: skip

# Keys that are looked for where they are not, and what the string means that is written in a table's place.
_ELSEWHERE: dict[tuple[str, ...], str] = {
    ("namespaces", "network"): "network.mode",
    ("namespaces", "net"): "network.mode",
}
_FIRST_KEYS = {"rootfs": "kind", "network": "mode", "ready": "kind", "health": "kind",
               "restart": "policy", "log": "sink"}  # fmt: skip

NO_KEYS = {"name", "seccomp_profile"}  # the name of a worker's table; what the file of security.seccomp says

Values = dict[str, Any]  # by the Python name; a table is again Values


class Field(msgspec.Struct, frozen=True):
    """One key of a table."""

    name: str  # in Python
    kind: Literal["table", "tables", "list", "map", "leaf"]
    struct: Any  # kind = table, tables
    leaf: Leaf  # of the value or of its elements
    required: bool


@cache
def fields_of(struct: type[msgspec.Struct]) -> Mapping[str, Field]:
    """The keys of a table, as TOML names them, without what is filled in by the loader."""
    return {
        info.encode_name: _field(info.name, info.type, required=info.required)
        for info in msgspec.structs.fields(struct)
        if info.encode_name not in NO_KEYS
    }


def _field(name: str, annotation: Any, *, required: bool) -> Field:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is types.UnionType and get_origin(arguments[0]) is tuple:  # an array, or None where it is not written
        return _field(name, arguments[0], required=required)
    if origin is tuple:
        if _is_struct(arguments[0]):
            return Field(name, "tables", arguments[0], leaf_of(str), required)
        return Field(name, "list", None, leaf_of(arguments[0]), required)
    if origin is dict:
        return Field(name, "map", None, leaf_of(arguments[1]), required)
    if _is_struct(annotation):
        return Field(name, "table", annotation, leaf_of(str), required)
    return Field(name, "leaf", None, leaf_of(annotation), required)


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)


class Converter:
    """Converts the tables of one file. Bad values are reported and left out."""

    def __init__(self, report: Report, source: Source, environ: Mapping[str, str]) -> None:
        self._report = report
        self._source = source
        self._environ = environ

    def table(self, struct: type[msgspec.Struct], raw: Any, path: Path, known_as: tuple[str, ...]) -> Values:
        """The values of one table. `known_as` is its path without names and indexes, as `unsupported` has it."""
        if not isinstance(raw, dict):
            self._bad(path, "wrong type", raw, "a table", _as_table(known_as, raw))
            return {}
        fields = fields_of(struct)
        values: Values = {}
        for key, value in raw.items():
            field = fields.get(key)
            where, alias = (*path, key), (*known_as, key)
            if field is None:
                self._unknown(where, alias, fields, value)
                continue
            converted = self._value(field, value, where, alias)
            if converted is not None:
                values[field.name] = converted
        return values

    def _unknown(self, path: Path, known_as: tuple[str, ...], fields: Mapping[str, Field], value: Any) -> None:
        if unsupported.key(known_as):
            self._bad(path, NOT_YET, ABSENT if isinstance(value, dict | list) else value)
            return
        near = _ELSEWHERE.get(known_as[1:]) or forms.nearest(str(path[-1]), fields)
        self._report.add(self._source, path, "unknown key", allowed=", ".join(fields), nearest=near)

    def _value(self, field: Field, value: Any, path: Path, known_as: tuple[str, ...]) -> Any:
        match field.kind:
            case "table":
                return self.table(field.struct, value, path, known_as)
            case "tables":
                return self._tables(field, value, path, known_as)
            case "list":
                return self._list(field.leaf, value, path, known_as)
            case "map":
                return self._map(field.leaf, value, path, known_as)
            case "leaf":
                return self._leaf(field.leaf, value, path, known_as)

    def _tables(self, field: Field, value: Any, path: Path, known_as: tuple[str, ...]) -> tuple[Any, ...] | None:
        if not isinstance(value, list):
            self._bad(path, "wrong type", value, "an array of tables")
            return None
        built = (self._element(field.struct, item, (*path, index), known_as) for index, item in enumerate(value))
        return tuple(item for item in built if item is not None)

    def _element(self, struct: type[msgspec.Struct], raw: Any, path: Path, known_as: tuple[str, ...]) -> Any:
        text = None
        if struct is Mount and isinstance(raw, dict) and raw.get("type") == "symlink":
            text = raw.get("source")  # what the link says: no path on the host
            if isinstance(text, str) and text and "\0" not in text:
                raw = {**raw, "source": "/"}
        values = self.table(struct, raw, path, known_as)
        if isinstance(raw, dict):
            for key, field in fields_of(struct).items():
                if field.required and key not in raw:
                    self._report.add(self._source, (*path, key), "missing", allowed=field.leaf.allowed)
        if self._report.is_bad(self._source, path):
            return None
        if text is not None:
            values["source"] = text
        built = struct(**values)
        if isinstance(built, Mount):
            for key, message, allowed in mounts.flaws(built):
                self._bad((*path, key), message, raw.get(key, ABSENT), allowed)
        return built

    def _list(self, leaf: Leaf, value: Any, path: Path, known_as: tuple[str, ...]) -> tuple[Any, ...] | None:
        if not isinstance(value, list):
            self._bad(path, "wrong type", value, f"an array, each {leaf.allowed}", _as_array(path, value))
            return None
        items = (self._leaf(leaf, item, (*path, index), known_as) for index, item in enumerate(value))
        return tuple(item for item in items if item is not None)

    def _map(self, leaf: Leaf, value: Any, path: Path, known_as: tuple[str, ...]) -> dict[str, Any] | None:
        if not isinstance(value, dict):
            self._bad(path, "wrong type", value, f"a table, each value {leaf.allowed}")
            return None
        values = {}
        for key, item in value.items():
            try:
                forms.env_name(key)
            except forms.FormError as error:
                self._report.add(self._source, (*path, key), str(error))
                continue
            converted = self._leaf(leaf, item, (*path, key), known_as)
            if converted is not None:
                values[key] = converted
        return values

    def _leaf(self, leaf: Leaf, value: Any, path: Path, known_as: tuple[str, ...]) -> Any:
        if isinstance(value, str) and "{index}" in value and not _is_indexed(known_as):
            allowed = "only in command, env, publish, source, rootfs.path, and upper and work of overlays"
            return self._bad(path, "{index} is not replaced here", value, allowed)
        try:
            converted = convert_leaf(leaf, value)
            return self._expanded(leaf, converted)
        except LeafError as error:
            return self._bad(path, str(error), value, error.allowed, error.nearest)
        except PathError as error:
            return self._bad(path, str(error), value)

    def _expanded(self, leaf: Leaf, value: Any) -> Any:
        """Paths made absolute: those relative are relative to the file that names them."""
        if leaf.form == "path":
            return expand(value, self._source.directory, self._environ)
        if leaf.form == "reference" and isinstance(value, str) and value.startswith("path:"):
            return "path:" + expand(value.removeprefix("path:"), self._source.directory, self._environ)
        if leaf.form == "seccomp" and value not in forms.SECCOMP_CHOICES:
            return expand(value, self._source.directory, self._environ)
        return value

    def _bad(
        self, path: Path, message: str, value: Any, allowed: str | None = None, nearest: str | None = None
    ) -> None:
        if value is ABSENT:
            self._report.add(self._source, path, message, allowed=allowed, nearest=nearest)
        else:
            self._report.add(self._source, path, message, value=value, allowed=allowed, nearest=nearest)


def _is_indexed(known_as: tuple[str, ...]) -> bool:
    return any(known_as[1 : 1 + len(key)] == key for key in _INDEXED)


def _as_table(known_as: tuple[str, ...], value: Any) -> str | None:
    """What a string in a table's place was probably meant to be: its first key."""
    key = _FIRST_KEYS.get(known_as[-1])
    if key is None or not isinstance(value, str) or not value:
        return None
    if key == "kind" and "/" in value:
        return f'{{ kind = "dir", path = {show(value)} }}' if known_as[-1] == "rootfs" else None
    return f"{{ {key} = {show(value)} }}"


def _as_array(path: Path, value: Any) -> str | None:
    """What a string in an array's place was probably meant to be."""
    if not isinstance(value, str) or not value:
        return None
    if path[-1] != "command":
        return show([value])
    try:
        return show(shlex.split(value))
    except ValueError:  # an unclosed quote
        return None
