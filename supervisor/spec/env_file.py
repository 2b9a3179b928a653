"""Environment files, read as systemd reads EnvironmentFile= (systemd.exec(5)), but what it would drop is an error."""

from supervisor.spec import forms

_WHITESPACE = " \t\r"
_DOUBLE_QUOTE_ESCAPES = '"\\$`'


class EnvFileError(ValueError):
    """One bad line. The text of the line is not repeated: it may be a secret."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def parse(text: str) -> dict[str, str]:
    """KEY=VALUE lines; `#` and `;` start comment lines; values may be quoted, and span lines inside quotes."""
    return dict(_Reader(text.replace("\r\n", "\n")).pairs())


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1

    def pairs(self) -> list[tuple[str, str]]:
        found = []
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter in _WHITESPACE or letter == "\n":
                self._next()
            elif letter in "#;":
                self._until("\n")
            else:
                found.append((self._key(), self._value()))
        return found

    def _next(self) -> str:
        letter = self._text[self._at]
        self._at += 1
        self._line += letter == "\n"
        return letter

    def _until(self, stop: str) -> str:
        end = self._text.find(stop, self._at)
        end = len(self._text) if end < 0 else end
        taken = self._text[self._at : end]
        self._at = end
        self._line += taken.count("\n")
        return taken

    def _key(self) -> str:
        end = self._text.find("\n", self._at)
        equals = self._text.find("=", self._at, None if end < 0 else end)
        if equals < 0:
            raise EnvFileError(self._line, "not KEY=VALUE")
        name = self._until("=").rstrip(_WHITESPACE)
        self._next()
        try:
            forms.env_name(name)
        except forms.FormError as problem:
            raise EnvFileError(self._line, str(problem)) from None
        if any(letter.isspace() for letter in name):
            raise EnvFileError(self._line, "white space in the variable's name (no `export` here)")
        if "\0" in name:
            raise EnvFileError(self._line, "a NUL byte")
        return name

    def _value(self) -> str:
        """Quoted parts, then perhaps an unquoted rest, to the end of the line."""
        value = ""
        while self._at < len(self._text) and self._text[self._at] != "\n":
            letter = self._text[self._at]
            if letter in _WHITESPACE:
                self._next()
            elif letter == "'":
                value += self._single()
            elif letter == '"':
                value += self._double()
            else:
                value += self._bare()
        if "\0" in value:
            raise EnvFileError(self._line, "a NUL byte")
        return value

    def _bare(self) -> str:
        value, kept = "", 0  # kept: trailing white space is dropped unless escaped
        while self._at < len(self._text) and self._text[self._at] != "\n":
            letter = self._next()
            if letter == "\\" and self._at < len(self._text):
                escaped = self._next()
                value += escaped if escaped != "\n" else ""
                kept = len(value)
            else:
                value += letter
                kept = kept if letter in _WHITESPACE else len(value)
        return value[:kept]

    def _single(self) -> str:
        start = self._line
        self._next()
        value = self._until("'")
        self._close(start)
        return value

    def _double(self) -> str:
        start, value = self._line, ""
        self._next()
        while self._at < len(self._text) and self._text[self._at] != '"':
            letter = self._next()
            if letter == "\\" and self._at < len(self._text):
                escaped = self._next()
                value += escaped if escaped in _DOUBLE_QUOTE_ESCAPES else "" if escaped == "\n" else f"\\{escaped}"
            else:
                value += letter
        self._close(start)
        return value

    def _close(self, start: int) -> None:
        if self._at >= len(self._text):
            raise EnvFileError(start, "a quote that is not closed")
        self._next()
