"""What one line of a worker's log file looks like, both ways.

    {"t":1769900399.000001,"s":"stdout","i":17,"m":"text"}

t is when it was read (seconds since the epoch), s the stream, i the incarnation, m the text. `"p":true`: no line end
came after this piece, the next one of the same stream goes on. `"e":"b64"`: the bytes are no UTF-8, m is their base64.
"""

import ctypes
from binascii import a2b_base64, b2a_base64
from typing import Literal

import msgspec

LIMIT_BYTES = 48 * 1024  # longer lines are kept in pieces

# Bytes that a JSON string cannot hold as they are; the line end is ours. Half of them each: strcspn(3) of the GNU C
# library looks for up to 16 at a time by SSE4.2, four times as fast as bytes.translate. It also stops at a NUL.
_ESCAPED = (bytes(range(1, 10)) + bytes(range(11, 18)), bytes(range(18, 32)) + b'"\\')
_MARK = b"\x7f"  # the one control character that JSON does not escape
_END = b'"}\n'

_quote = msgspec.json.Encoder().encode
_span = ctypes.PyDLL(None).strcspn
_span.restype = ctypes.c_size_t
_span.argtypes = [ctypes.c_char_p, ctypes.c_char_p]

Buffer = bytes | memoryview


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
    try:
        if _needs_no_escape(text):
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


def _needs_no_escape(text: bytes) -> bool:
    """In a JSON string, as far as it is UTF-8."""
    size = len(text)
    return all(_span(text, some) == size for some in _ESCAPED)


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


class Encoder:
    """One stream's bytes, chunk by chunk, as lines of the log file."""

    def __init__(self) -> None:
        self._lines = LineSplitter()

    def feed(self, beginning: bytes, chunk: bytes) -> tuple[list[Buffer], int]:
        """What is to be written now, in parts, and how many bytes of the worker's it stands for.

        A chunk of plain ASCII is copied once, by one bytes.replace.
        """
        end = chunk.rfind(b"\n") + 1
        if end and chunk.isascii() and _needs_no_escape(chunk) and self._lines.fits(chunk, end):
            before = self._lines.flush()
            if not before or (before.isascii() and _needs_no_escape(before)):
                start = beginning + b',"m":"'
                lines = chunk.replace(b"\n", _END + start)  # what came after the last line end follows its start
                rest = chunk[end:]
                self._lines.put_back(rest)
                return [start, before, memoryview(lines)[: len(lines) - len(rest) - len(start)]], len(before) + end
            self._lines.put_back(before)
        found = self._lines.feed(chunk)
        blocks: list[Buffer] = [
            encode_lines(beginning, data) if whole else encode_piece(beginning, data) for data, whole in found
        ]
        return blocks, sum(len(data) for data, _whole in found)

    def skip(self, chunk: bytes) -> tuple[int, int]:
        """Keep none of the lines that end in this chunk: how many they are, and their bytes."""
        found = self._lines.feed(chunk)
        return sum(data.count(b"\n") or 1 for data, _whole in found), sum(len(data) for data, _whole in found)

    def flush(self) -> bytes:
        """What waits for its line end, which will not come."""
        return self._lines.flush()


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

    def fits(self, chunk: bytes, end: int) -> bool:
        """Whether no line of this chunk, which has its last line end before `end`, is too long."""
        at = chunk.find(b"\n") + 1
        if self._length + at - 1 > LIMIT_BYTES or len(chunk) - end > LIMIT_BYTES:
            return False
        while end - at > LIMIT_BYTES:
            newline = chunk.rfind(b"\n", at, at + LIMIT_BYTES + 1)
            if newline < 0:
                return False
            at = newline + 1
        return True

    def put_back(self, rest: bytes) -> None:
        """After flush(): this waits for its line end."""
        self._parts = [rest] if rest else []
        self._length = len(rest)

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
