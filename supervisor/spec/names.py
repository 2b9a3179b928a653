"""Finding workers and instances by the names that people type."""

import difflib
from collections.abc import Iterable


class UnknownName(LookupError):  # noqa: N818 the name says what happened
    """Neither a worker nor an instance has this name."""

    def __init__(self, name: str, nearest: str | None = None) -> None:
        self.name = name
        self.nearest = nearest
        super().__init__(name, nearest)

    def __str__(self) -> str:
        guess = f" (did you mean {self.nearest}?)" if self.nearest else ""
        return f"cannot find {self.name!r}: no worker or instance has that name{guess}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant; None when none is like it."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return found[0] if found else None
