"""Options of a command line as a worker's table, or as changes to one: problems name the option, not the key."""

from typing import Any

from supervisor.spec.convert import Values
from supervisor.spec.errors import ConfigError, Problem
from supervisor.spec.locate import Path
from supervisor.spec.merge import merge
from supervisor.spec.show import show_key
from supervisor.spec.source import ABSENT, Source

CANNOT = "cannot run"  # how every message begins
_ADDED = ("mounts", "secrets")  # arrays that options add to; others they replace
_TWICE = "set by another option, too"
_NOT_OURS = 1 << 30  # an index that no array has


class OptionSource(Source):
    """What options say of one worker."""

    def __init__(self, worker: str, directory: str) -> None:
        """directory: where relative paths start."""
        self.file = self.path = CANNOT
        self.text = ""
        self.directory = directory
        self.worker = worker
        self.table: dict[str, Any] = {}
        self.data = {"worker": {worker: self.table}}
        self._written: dict[Path, str] = {}
        self._before: dict[str, int] = {}  # how many elements of an array are not ours

    def put(self, key: tuple[str, ...], value: object, written: str) -> None:
        """Set a key; `written` is the option as it was written. ConfigError where that is no table's key."""
        table: Any = self.table
        for part in key[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise option_error(written, _TWICE)
        table[key[-1]] = value
        self._written[key] = written

    def add(self, key: tuple[str, ...], value: object, written: str) -> None:
        """Add an element to an array. ConfigError as put."""
        items = Source.get(self, ("worker", self.worker, *key))
        if items is ABSENT:
            self.put(key, items := [], written)
        if not isinstance(items, list):
            raise option_error(written, _TWICE)
        self._written[*key, len(items)] = written
        items.append(value)

    def over(self, values: Values, own: Values) -> Values:
        """What a worker has, under what the options say."""
        merged = merge(values, own)
        for key in _ADDED:
            if key in own:
                self._before[key] = len(values.get(key, ()))
                merged[key] = (*values.get(key, ()), *own[key])
        return merged

    def get(self, path: Path) -> Any:
        """What is written at a key."""
        return super().get(self._ours(path))

    def line(self, path: Path) -> int | None:  # noqa: ARG002  (there are no lines)
        """None."""
        return None

    def problem(
        self,
        path: Path,
        message: str,
        *,
        value: str | None = None,
        allowed: str | None = None,
        nearest: str | None = None,
    ) -> Problem:
        """A problem with an option; of a key that none is about, with that."""
        key = self._ours(path)[2:]
        for end in range(len(key), 0, -1):
            if key[:end] in self._written:
                rest = show_key(key[end:])
                text = f"{rest}: {message}" if rest else message
                return Problem(CANNOT, None, self._written[key[:end]], text, None, allowed, nearest)
        above = next((text for one, text in self._written.items() if key and one[: len(key)] == key), None)
        if above is not None:
            return Problem(CANNOT, None, above, f"{show_key(key)}: {message}", None, allowed, nearest)
        return Problem(CANNOT, None, show_key(key), message, value, allowed, nearest)

    def _ours(self, path: Path) -> Path:
        """A path in the worker as it will be, as one among the options."""
        if len(path) > 3 and isinstance(path[2], str) and isinstance(path[3], int):
            index = path[3] - self._before.get(path[2], 0)
            return (*path[:3], index if index >= 0 else _NOT_OURS, *path[4:])
        return path


def option_error(written: str, message: str, allowed: str | None = None) -> ConfigError:
    """One option that cannot be used."""
    return ConfigError([Problem(CANNOT, None, written, message, None, allowed)])
