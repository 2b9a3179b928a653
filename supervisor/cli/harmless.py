"""Text that came from workers, made safe to show: what they print must not drive the reader's terminal. Pure."""

import re
from typing import Any, TypeVar

Shown = TypeVar("Shown")

# Controls of ISO 6429 in both their forms, and what turns the direction of text around (Unicode UAX #9, 2.1 to 2.3).
UNSAFE = "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\u2028-\u202e\u2066-\u2069"
_LINE = re.compile(f"[{UNSAFE}\\t\\n]")
_BUT_COLOURS = re.compile(f"\\x1b\\[[0-9;]*m|[{UNSAFE}]")
_IN_JSON = re.compile(f"[{UNSAFE}]")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
RESET = "\x1b[0m"


def one_line(text: str) -> str:
    """For a place within a line: every control and line end as an escape."""
    return _LINE.sub(lambda match: _SHORT.get(match.group()) or _escape(match.group()), text)


def line_of_output(text: str) -> str:
    """What a worker printed, for a terminal: its colours pass, but do not reach beyond the line."""
    shown = _BUT_COLOURS.sub(_all_but_colours, text.removesuffix("\r"))
    _, colour, last = shown.rpartition("\x1b[")
    return f"{shown}{RESET}" if colour and not last.startswith(("0m", "m")) else shown


def json_text(text: str) -> str:
    r"""The same JSON document, with \u009b and the like in place of what JSON itself allows to stand as it is."""
    return _IN_JSON.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def all_of(value: Shown) -> Shown:
    """A copy of a msgspec Struct, each of its strings as one_line makes it."""
    import msgspec  # noqa: PLC0415

    return msgspec.convert(_strings(msgspec.to_builtins(value)), type(value))


def _strings(value: Any) -> Any:
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {key: _strings(one) for key, one in value.items()}
    return [_strings(one) for one in value] if isinstance(value, (list, tuple)) else value


def _all_but_colours(match: re.Match[str]) -> str:
    found = match.group()
    return found if len(found) > 1 else _escape(found)


def _escape(letter: str) -> str:
    return f"\\x{ord(letter):02x}" if ord(letter) < 0x100 else f"\\u{ord(letter):04x}"
