"""What a probe says."""

from typing import NamedTuple

LONGEST = 200  # characters of what was seen


class Answer(NamedTuple):
    """Whether it is well, and what was seen. It came from a worker: shown() has made it harmless."""

    ok: bool
    seen: str


class CannotProbe(Exception):  # noqa: N818  (the name says what happened)
    """Nothing was learnt of the worker: why."""


def shown(data: bytes) -> str:
    """The first words, on one line, without control characters."""
    text = data.decode(errors="backslashreplace")
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:LONGEST]
