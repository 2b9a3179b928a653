"""What one line of a worker's log file looks like, both ways.

    {"t":1769900399.000001,"s":"stdout","i":17,"m":"text"}

t is when it was read (seconds since the epoch), s the stream, i the incarnation, m the text. `"p":true`: no line end
came after this piece, the next one of the same stream goes on. `"e":"b64"`: the bytes are no UTF-8, m is their base64.
"""

from binascii import a2b_base64, b2a_base64
from typing import Literal

import msgspec

LIMIT_BYTES = 48 * 1024  # longer lines are kept in pieces

# Bytes that stand for themselves in a JSON string once the whole is known to be UTF-8; the line end is ours.
_PLAIN = bytes(set(range(0x20, 0x100)) - set(b'"\\')) + b"\n"
_MARK = b"\x7f"  # the one control character that JSON does not escape
_END = b'"}\n'

_quote = msgspec.json.Encoder().encode


class LogLine(msgspec.Struct, frozen=True):
    """One line of a log file."""

    t: float
    s: Literal["stdout", "stderr"]
    i: int
    m: str
    p: bool = False
    e: Literal["b64"] | None = None

    def raw(self) -> bytes:
        """The bytes that the worker wrote, with the line end unless this is only a piece."""
        return (a2b_base64(self.m) if self.e else self.m.encode()) + (b"" if self.p else b"\n")


decode = msgspec.json.Decoder(LogLine).decode


def head(time_s: float, stream: str, incarnation: int) -> bytes:
    """The beginning that all lines of one chunk share."""
    return b'{"t":%.6f,"s":"%s","i":%d' % (time_s, stream.encode(), incarnation)


def encode_lines(beginning: bytes, data: bytes) -> bytes:
    """Whole lines, each with its line end. As long as all is UTF-8 no line is touched by itself."""
    text = data[:-1]
    start = beginning + b',"m":"'
    plain = not text.translate(None, _PLAIN)
    try:
        if plain:
            if not text.isascii():
                text.decode()  # only to see that it can be
            lines = text.replace(b"\n", _END + start)
        elif _MARK not in text:  # stands in for the line ends while all lines are escaped as one
            lines = _quote(text.replace(b"\n", _MARK).decode())[1:-1].replace(_MARK, _END + start)
        else:
            return _one_by_one(beginning, text)
    except UnicodeDecodeError:
        return _one_by_one(beginning, text)
    return b"".join((start, lines, _END))  # +, twice, costs five times as much


def encode_piece(beginning: bytes, data: bytes) -> bytes:
    """A piece of a line, without a line end."""
    return _encode_one(beginning + b',"p":true', data)


def _one_by_one(beginning: bytes, text: bytes) -> bytes:
    return b"".join([_encode_one(beginning, line) for line in text.split(b"\n")])


def _encode_one(beginning: bytes, text: bytes) -> bytes:
    try:
        quoted = _quote(text.decode())
    except UnicodeDecodeError:
        return b"".join((beginning, b',"e":"b64","m":"', b2a_base64(text, newline=False), _END))
    return b"".join((beginning, b',"m":', quoted, b"}\n"))


class LineSplitter:
    """One stream's bytes, chunk by chunk, as whole lines and as pieces of what is longer than LIMIT_BYTES."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # of a line that has not ended yet
        self._length = 0

    def feed(self, chunk: bytes) -> list[tuple[bytes, bool]]:
        """(bytes, whole): either one or more whole lines with their line ends, or one piece without."""
        if b"\n" not in chunk and self._length + len(chunk) <= LIMIT_BYTES:
            self._parts.append(chunk)
            self._length += len(chunk)
            return []
        data = b"".join((*self._parts, chunk)) if self._parts else chunk
        end = data.rfind(b"\n") + 1
        found = [] if not end else [(data[:end], True)] if end <= LIMIT_BYTES else _bounded(data[:end])
        while len(data) - end > LIMIT_BYTES:
            cut = _cut(data, end)
            found.append((data[end:cut], False))
            end = cut
        self._parts = [data[end:]] if end < len(data) else []
        self._length = len(data) - end
        return found

    def flush(self) -> bytes:
        """What waits for its line end, which will not come."""
        rest = b"".join(self._parts)
        self._parts, self._length = [], 0
        return rest


def _bounded(data: bytes) -> list[tuple[bytes, bool]]:
    """Whole lines, of which some may be too long."""
    found = []
    start = at = 0
    while at < len(data):
        newline = data.rfind(b"\n", at, at + LIMIT_BYTES + 1)
        if newline >= 0:
            at = newline + 1
            continue
        if at > start:
            found.append((data[start:at], True))
        start = _cut(data, at)
        found.append((data[at:start], False))
        at = start
    if at > start:
        found.append((data[start:], True))
    return found


def _cut(data: bytes, start: int) -> int:
    """Where a piece that begins at start ends: not inside a character of UTF-8."""
    end = start + LIMIT_BYTES
    for cut in range(end, end - 4, -1):
        if data[cut] & 0xC0 != 0x80:
            return cut
    return end
