"""A JSON file of ours to read, value by value: each fault is noted with its line, and what is faulty is left out."""

from collections.abc import Mapping, Sequence
from typing import Any

from supervisor.spec import forms
from supervisor.spec.errors import Problem
from supervisor.spec.locate import Path
from supervisor.spec.show import show, show_key

_ABSENT: Any = object()
COMMENTS = ("comment", "errno", "defaultErrno")  # errno's name beside its number


class JsonTable:
    """One file, and what is wrong with it."""

    def __init__(self, file: str, lines: Mapping[Path, int]) -> None:
        """lines: where each value begins."""
        self._file = file
        self._lines = lines
        self.problems: list[Problem] = []

    def table(self, data: Any, path: Path, keys: Sequence[str]) -> dict[str, Any]:
        """An object with some of these keys; comments, and keys that begin with $, are passed over."""
        if not isinstance(data, dict):
            self.bad(path, "wrong type" if data is not None else "missing", allowed="an object")
            return {}
        for key in data:
            if key not in keys and key not in COMMENTS and not key.startswith("$"):
                near = forms.nearest(key, keys)
                self.bad((*path, key), "unknown key", allowed=", ".join(keys), nearest=near)
        return data

    def list(self, table: Mapping[str, Any], key: str, path: Path) -> list[Any]:
        """An array; nothing and null are an empty one."""
        value = table.get(key)
        if value is None or isinstance(value, list):
            return value or []
        self.bad((*path, key), "wrong type", value, allowed="an array")
        return []

    def words(self, table: Mapping[str, Any], key: str, path: Path) -> tuple[str, ...]:
        """An array of strings."""
        words = []
        for index, word in enumerate(self.list(table, key, path)):
            if isinstance(word, str) and word:
                words.append(word)
            else:
                self.bad((*path, key, index), "wrong type", word, allowed="a string")
        return tuple(words)

    def number(self, table: Mapping[str, Any], key: str, path: Path, default: int, most: int) -> int:
        """A number from 0 on."""
        value = table.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            self.bad((*path, key), "not allowed", value, allowed=f"a whole number from 0 to {most}")
            return default
        return value

    def choice(
        self,
        table: Mapping[str, Any],
        key: str,
        path: Path,
        choices: Sequence[str],
        default: str,
        unsupported: Sequence[str] = (),
    ) -> Any:
        """One of some words."""
        value = table.get(key, default)
        if value in choices:
            return value
        message = "not supported" if value in unsupported else "not allowed"
        near = forms.nearest(value, choices) if isinstance(value, str) and message == "not allowed" else None
        self.bad((*path, key), message, value, allowed=", ".join(choices), nearest=near and show(near))
        return default

    def bad(
        self,
        path: Path,
        message: str,
        value: Any = _ABSENT,
        *,
        allowed: str | None = None,
        nearest: str | None = None,
    ) -> None:
        """Note a fault."""
        shown = None if value is _ABSENT else show(value)
        self.problems.append(Problem(self._file, self._line(path), show_key(path), message, shown, allowed, nearest))

    def _line(self, path: Path) -> int | None:
        """The line of a value, or of what it should be in."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path)
