"""One file of a configuration: its text, what TOML makes of it, and where each key stands."""

import errno
import os
import re
import stat
import tomllib
from functools import cached_property
from typing import Any

from supervisor.spec.errors import ConfigError, Problem
from supervisor.spec.locate import Lines, Path
from supervisor.spec.show import show, show_key, show_text

ABSENT: Any = object()  # of a key that is not written
LARGEST_BYTES = 16 * 1024 * 1024

_AT_LINE = re.compile(r"^(?P<what>.*) \(at line (?P<line>[0-9]+), column [0-9]+\)$", re.DOTALL)
_AT_END = " (at end of document)"


class Source:
    """A file as read. `file` is the path as it was given, for messages."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.text = text
        self.path = os.path.abspath(file)
        self.directory = os.path.dirname(self.path)
        self.data: dict[str, Any] = _parse(text, file)

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self.text)

    def get(self, path: Path) -> Any:
        """What is written at a key; ABSENT where nothing is."""
        data: Any = self.data
        for part in path:
            if isinstance(part, int):
                if not isinstance(data, list) or part >= len(data):
                    return ABSENT
            elif not isinstance(data, dict) or part not in data:
                return ABSENT
            data = data[part]
        return data

    def line(self, path: Path) -> int | None:
        """The line of a key, or of the nearest table around it."""
        return self._lines.of(path)

    def name(self, path: Path) -> str:
        """What a message calls a key."""
        return show_key(path)

    def problem(
        self,
        path: Path,
        message: str,
        *,
        value: str | None = None,
        allowed: str | None = None,
        nearest: str | None = None,
    ) -> Problem:
        """A problem at this key."""
        return Problem(self.file, self.line(path), self.name(path), message, value, allowed, nearest)


def read_source(file: str) -> Source:
    """Read and parse one file. ConfigError where that cannot be done."""
    return Source(read_text(file), file)


def read_text(file: str) -> str:
    """The text of a file, at most LARGEST_BYTES of UTF-8. ConfigError where it cannot be read."""
    try:
        with open(file, "rb", opener=_without_waiting) as stream:
            raw = stream.read(LARGEST_BYTES + 1)
    except IsADirectoryError:
        raise _unreadable(file, "cannot read: it is a directory; name the file in it") from None
    except OSError as error:
        raise _unreadable(file, f"cannot read: {error.strerror}") from None
    except ValueError:  # a NUL byte in the path
        raise _unreadable(show(file), "cannot read: not a path") from None
    if len(raw) > LARGEST_BYTES:
        raise _unreadable(file, f"cannot read: larger than {LARGEST_BYTES // 1024**2} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = Problem(file, line, "", f"not UTF-8: byte 0x{raw[error.start]:02x}", None, "text in UTF-8")
        raise ConfigError([problem]) from None


def _without_waiting(path: str, flags: int) -> int:
    """A FIFO that nobody writes to would hold the whole daemon up at a reload."""
    fd = os.open(path, flags | os.O_NONBLOCK)
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is a FIFO")
    return fd


def _unreadable(file: str, message: str) -> ConfigError:
    return ConfigError([Problem(file, None, "", message)])


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        text.encode()
        return tomllib.loads(text)
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        raise ConfigError([Problem(file, line, "", "not UTF-8: a lone surrogate", None, "text in UTF-8")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_problem(text, file, str(error))]) from None
    except RecursionError:
        raise ConfigError([Problem(file, None, "", "not usable: arrays or tables nested too deeply")]) from None
    except ValueError:  # all else is a TOMLDecodeError
        raise ConfigError([Problem(file, None, "", "not usable: a number of too many digits")]) from None


def _syntax_problem(text: str, file: str, message: str) -> Problem:
    match = _AT_LINE.match(message)
    lines = text.split("\n")
    line = int(match["line"]) if match else len(lines)
    # Up to its complaint tomllib was content: what stands there twice is what it complains of.
    twice = Lines("\n".join(lines[:line])).twice
    if twice is not None:
        path, first, second = twice
        return Problem(file, second, show_key(path), f"defined twice; first on line {first}")
    what = match["what"] if match else message.removesuffix(_AT_END) + " at the end of the file"
    return Problem(file, line, "", f"not valid TOML: {what[:1].lower()}{what[1:]}", _snippet(lines, line))


def _snippet(lines: list[str], line: int) -> str | None:
    snippet = lines[line - 1].strip() if line <= len(lines) else ""
    return show_text(snippet) or None
