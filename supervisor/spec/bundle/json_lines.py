"""JSON with the line of every value, for messages; the json module does not say."""

import json
import re
from typing import Any

from supervisor.spec.locate import Path

DEEPEST = 50
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class JsonError(ValueError):
    """Not JSON: why, and on which line."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def parse(text: str) -> tuple[Any, dict[Path, int]]:
    """The value, and for each path in it the line on which its value begins. JsonError."""
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError as error:
        raise JsonError(f"not valid JSON: {error.msg[:1].lower()}{error.msg[1:]}", error.lineno) from None
    except RecursionError:
        raise JsonError("not usable: nested too deeply", 1) from None
    except ValueError as error:
        raise JsonError(f"not usable: {error}", 1) from None
    lines: dict[Path, int] = {}
    _walk(text, _space(text, 0), (), lines)
    return value, lines


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {json.dumps(key)} is there twice in one object")
        found[key] = value
    return found


def _space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _walk(text: str, at: int, path: Path, lines: dict[Path, int]) -> int:
    """Note the lines of one value of a text that is known to be JSON; where it ends."""
    lines[path] = text.count("\n", 0, at) + 1
    opening = text[at]
    if opening not in "{[" or len(path) >= DEEPEST:
        return _DECODER.raw_decode(text, at)[1]
    at = _space(text, at + 1)
    index = 0
    while text[at] not in "}]":
        part: str | int = index
        if opening == "{":
            part, at = _DECODER.raw_decode(text, at)
            at = _space(text, _space(text, at) + 1)  # the colon
        at = _space(text, _walk(text, at, (*path, part), lines))
        if text[at] == ",":
            at = _space(text, at + 1)
        index += 1
    return at + 1
