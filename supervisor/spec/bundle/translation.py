"""The table that grows while a config.json is read, and what cannot be said in it."""

from collections.abc import Callable, Mapping
from typing import Any

from supervisor.spec.locate import Path

NOT_SUPPORTED = "not supported"

Handler = Callable[["Translation", Any, Path], None]


class Translation:
    """Values by the keys of a worker's table, each with the place in config.json that it comes from."""

    def __init__(self, directory: str) -> None:
        """directory: the bundle's, which relative paths are relative to."""
        self.directory = directory
        self.table: dict[str, Any] = {}
        self.places: dict[Path, Path] = {}
        self.refused: list[tuple[Path, str, str | None]] = []  # place, message, what is allowed

    def put(self, key: tuple[str, ...], value: Any, place: Path) -> None:
        """Set a key."""
        table = self.table
        for part in key[:-1]:
            table = table.setdefault(part, {})
        table[key[-1]] = value
        self.places[key] = place

    def append(self, key: str, value: Mapping[str, Any], place: Path) -> None:
        """Add a table to an array of them."""
        items = self.table.setdefault(key, [])
        self.places[(key, len(items))] = place
        items.append(value)

    def refuse(self, place: Path, message: str = NOT_SUPPORTED, allowed: str | None = None) -> None:
        """Note what cannot be had."""
        self.refused.append((place, message, allowed))

    def is_a(self, kind: type, value: Any, place: Path, words: str) -> bool:
        """Whether it is of this type; refused where it is not."""
        if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
            return True
        self.refuse(place, "wrong type", words)
        return False

    def each(self, handlers: Mapping[str, Handler], value: Any, place: Path) -> None:
        """Hand every member of an object to who knows it. Empty ones say nothing, nor does a zero that nobody knows."""
        if not self.is_a(dict, value, place, "an object"):
            return
        for name, member in value.items():
            if member in (None, {}, [], "") or (not member and name not in handlers):
                continue
            handler = handlers.get(name)
            if handler is None:
                self.refuse((*place, name))
            else:
                handler(self, member, (*place, name))


def to(*key: str) -> Handler:
    """Handle a member whose value is that of a key as it is."""
    return lambda translation, value, place: translation.put(key, value, place)


def says_nothing(_translation: Translation, _value: Any, _place: Path) -> None:
    """Handle a member that changes nothing here."""


def literal(path: str) -> str:
    """A path as nsvisor.toml would write it: its dollar signs are no variables."""
    return path.replace("$", "$$")
