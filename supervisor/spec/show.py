"""Keys and values as TOML writes them, for messages: one line, bounded, nothing that a terminal would obey."""

import datetime as dt
import re

from supervisor.spec.locate import Path

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST = 60
LONGEST_PATH = 4096  # PATH_MAX
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def show_key(path: Path) -> str:
    """`worker.api.mounts[1]."odd key"`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE.fullmatch(part) else _string(part)
            text += f".{name}" if text else name
    return text


def show(value: object, depth: int = 0, longest: int = _LONGEST) -> str:
    """A value, cut to a readable length."""
    text = _show(value, depth)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def show_text(text: str) -> str:
    """A line as it is, cut to a readable length."""
    cut = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    return "".join(map(_printable, cut))


def _show(value: object, depth: int) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _string(value)
        case int():
            return str(value) if value.bit_length() <= 128 else f"a number of {value.bit_length()} bits"
        case list() | tuple():
            inner = "…" if depth > 2 else ", ".join(show(item, depth + 1) for item in value[:8])
            return f"[{inner}]" if len(value) <= 8 else f"[{inner}, …]"
        case dict():
            pairs = list(value.items())[:8]
            inner = (
                "…" if depth > 2 else ", ".join(f"{show_key((key,))} = {show(item, depth + 1)}" for key, item in pairs)
            )
            return f"{{ {inner} }}" if inner else "{}"
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case _:
            return str(value)


def _string(text: str) -> str:
    cut = text if len(text) <= LONGEST_PATH else f"{text[:LONGEST_PATH]}…"
    return '"' + "".join(_ESCAPES.get(letter) or _printable(letter) for letter in cut) + '"'


def _printable(letter: str) -> str:
    if letter.isprintable():
        return letter
    number = ord(letter)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
