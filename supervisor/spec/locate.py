"""On which line each key of a TOML text stands; tomllib does not say.

Only for error messages: it reads text that tomllib has accepted, or the part before its complaint, and is lenient.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Iterator

Path = tuple[str | int, ...]
DEEPEST = 16  # keys below are found by the table that holds them

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_LITERAL = r"'[^'\n]*'"
_BASIC = r'"(?:\\.|[^"\\\n])*"'
_KEY_PART = re.compile(rf"[A-Za-z0-9_-]+|{_BASIC}|{_LITERAL}")
_STRING = re.compile(rf'"""(?:\\.|[^\\])*?"""(?:"{{0,2}})|\'\'\'.*?\'\'\'(?:\'{{0,2}})|{_BASIC}|{_LITERAL}', re.DOTALL)
_SCALAR = re.compile(r"[^,\]}#\n]+")


class _LostError(Exception):
    """Not TOML, or nested too deeply: what was found so far has to do."""


class Lines:
    """The line of each key path, numbered from 1; and what is written twice."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self.twice: tuple[Path, int, int] | None = None  # path, first line, second line
        self._written: dict[Path, int] = {}
        scanner = _Scanner(text)
        try:
            for path, line, written in scanner.document():
                self._note(path, line, written)
        except (_LostError, RecursionError):
            pass  # lines found so far are right; a key without one takes its table's

    def of(self, path: Path) -> int | None:
        """The key's line, else that of the nearest table around it; None where there is none."""
        for end in range(min(len(path), DEEPEST), 0, -1):
            line = self.lines.get(path[:end])
            if line is not None:
                return line
        return None

    def _note(self, path: Path, line: int, written: bool) -> None:
        for end in range(1, len(path) + 1):
            self.lines.setdefault(path[:end], line)
        if not written or len(path) > DEEPEST:
            return
        if path in self._written and self.twice is None:
            self.twice = (path, self._written[path], line)
        self._written.setdefault(path, line)


class _Scanner:
    """Yields (path, line, whether this defines the path) for each key, header and array element."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._counts: dict[Path, int] = {}  # elements of each array of tables

    def document(self) -> Iterator[tuple[Path, int, bool]]:
        table: Path = ()
        while self._skip(_BLANK) < len(self._text):
            line = self._line()
            if self._text.startswith("[[", self._at):
                self._at += 2
                table = self._array_table(self._key())
                self._expect("]]")
                yield table[:DEEPEST], line, False
            elif self._text.startswith("[", self._at):
                self._at += 1
                table = self._resolve(self._key())
                self._expect("]")
                yield table[:DEEPEST], line, True
            else:
                yield from self._pair(table)

    def _pair(self, table: Path) -> Iterator[tuple[Path, int, bool]]:
        line = self._line()
        path = table + tuple(self._key())
        self._expect("=")
        yield path[:DEEPEST], line, len(path) <= DEEPEST
        yield from self._value(path)

    def _value(self, path: Path) -> Iterator[tuple[Path, int, bool]]:
        self._skip(_SPACE)
        match self._text[self._at : self._at + 1]:
            case "[":
                yield from self._array(path)
            case "{":
                yield from self._inline_table(path)
            case '"' | "'":
                self._take(_STRING)
            case _:
                self._take(_SCALAR)

    def _array(self, path: Path) -> Iterator[tuple[Path, int, bool]]:
        self._at += 1
        index = 0
        while self._skip(_BLANK) < len(self._text) and self._text[self._at] != "]":
            element = (*path, index)
            yield element[:DEEPEST], self._line(), False
            yield from self._value(element)
            index += 1
            self._skip(_BLANK)
            if not self._text.startswith(",", self._at):
                break
            self._at += 1
        self._expect("]")

    def _inline_table(self, path: Path) -> Iterator[tuple[Path, int, bool]]:
        self._at += 1
        while self._skip(_BLANK) < len(self._text) and self._text[self._at] != "}":
            yield from self._pair(path)
            self._skip(_BLANK)
            if not self._text.startswith(",", self._at):
                break
            self._at += 1
        self._expect("}")

    def _key(self) -> list[str]:
        parts = []
        while True:
            self._skip(_SPACE)
            raw = self._take(_KEY_PART)
            parts.append(_unquote(raw) if raw[0] in "\"'" else raw)
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return parts
            self._at += 1

    def _resolve(self, parts: list[str]) -> Path:
        """A header's path, through the latest element of each array of tables on the way."""
        path: Path = ()
        for part in parts:
            path = (*path, part)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path

    def _array_table(self, parts: list[str]) -> Path:
        path = (*self._resolve(parts[:-1]), parts[-1])
        self._counts[path] = self._counts.get(path, 0) + 1
        return (*path, self._counts[path] - 1)

    def _line(self) -> int:
        return bisect_right(self._starts, self._at)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return self._at

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _LostError
        self._at = match.end()
        return match.group()

    def _expect(self, token: str) -> None:
        self._skip(_SPACE)
        if not self._text.startswith(token, self._at):
            raise _LostError
        self._at += len(token)


def _unquote(raw: str) -> str:
    if "\\" not in raw:
        return raw[1:-1]
    try:
        text = tomllib.loads(f"key = {raw}")["key"]
    except tomllib.TOMLDecodeError as error:
        raise _LostError from error
    return str(text)
