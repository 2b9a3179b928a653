"""Lines of the log files: chosen, merged, shown."""

import heapq
import re
import sys
from binascii import a2b_base64
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, Self

import msgspec

from supervisor.cli.logfiles import LogReader

# What a worker prints must not drive the reader's terminal; colours may pass.
CONTROLS = re.compile(r"\x1b\[[0-9;]*m|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line as stored (supervisor.runtime.log_line)."""

    t: float  # seconds since the epoch
    s: str  # stdout | stderr
    m: str
    i: int = 0  # incarnation
    p: bool = False  # partial: the line goes on in the next
    e: Literal["b64"] | None = None  # no UTF-8: m is base64

    def text(self) -> str:
        """The text, with U+FFFD for what is no UTF-8."""
        return a2b_base64(self.m).decode(errors="replace") if self.e else self.m


DECODER = msgspec.json.Decoder(Stored)


class Line(NamedTuple):
    """One line and whose it is. `stored` is None for what is not in the format."""

    instance: str
    raw: bytes
    stored: Stored | None

    @classmethod
    def read(cls, instance: str, raw: bytes) -> Self:
        """Decode a line."""
        try:
            return cls(instance, raw, DECODER.decode(raw))
        except msgspec.MsgspecError:
            return cls(instance, raw, None)

    def when(self) -> float:
        """Its time; 0 for what is not in the format, so that it comes at once."""
        return self.stored.t if self.stored is not None else 0.0

    def is_partial(self) -> bool:
        """Whether it goes on in the next one of its stream."""
        return self.stored is not None and self.stored.p

    def continues(self, before: "Line") -> bool:
        """Whether it is the next piece of a partial one."""
        ours, theirs = self.stored, before.stored
        if ours is None or theirs is None or not theirs.p:
            return False
        return (self.instance, ours.s, ours.i) == (before.instance, theirs.s, theirs.i)


class Selection(NamedTuple):
    """Which lines are wanted."""

    stream: str | None = None
    since: float | None = None
    until: float | None = None

    def wants(self, raw: bytes) -> bool:
        """Whether this line is. What is not in the format is shown, unless something is asked that it cannot answer."""
        if self == Selection():
            return True
        stored = Line.read("", raw).stored
        return (
            stored is not None
            and self.stream in (None, stored.s)
            and (self.since is None or stored.t >= self.since)
            and (self.until is None or stored.t <= self.until)
        )


def merged(readers: Mapping[str, LogReader], selection: Selection, count: int | None) -> Iterator[Line]:
    """What there is, by time; only the last `count` of each instance, if given."""

    def lines(name: str, reader: LogReader) -> Iterator[Line]:
        raws = reader.everything() if count is None else reader.last(count, selection.wants)
        return (Line.read(name, raw) for raw in raws if selection.wants(raw))

    return heapq.merge(*(lines(name, reader) for name, reader in readers.items()), key=Line.when)


def show(line: Line, before: Line | None, *, several: bool, timestamps: bool, as_json: bool) -> None:
    """Print one line; with its instance's name if there are several. A piece of a long line goes on where it ended.

    before: the line that was printed before this one.
    """
    if as_json:
        print(_as_json(line, several), flush=True)
        return
    goes_on = before is not None and line.continues(before)
    if before is not None and before.is_partial() and not goes_on:
        print()
    end = "" if line.is_partial() else "\n"
    text = line.stored.text() if line.stored is not None else line.raw.decode(errors="replace")
    if sys.stdout.isatty():
        text = CONTROLS.sub(_visible, text)
    if goes_on:
        print(text, end=end, flush=True)
        return
    if timestamps and line.stored is not None:
        from supervisor.cli.times import clock  # noqa: PLC0415

        text = f"{clock(line.stored.t)} {text}"
    print(f"{line.instance} | {text}" if several else text, end=end, flush=True)


def _visible(match: re.Match[str]) -> str:
    found = match.group()
    return found if len(found) > 1 else f"\\x{ord(found):02x}"


def _as_json(line: Line, several: bool) -> str:
    text = line.raw.decode(errors="replace")
    if not several or not text.startswith("{"):
        return text
    name = msgspec.json.encode(line.instance).decode()
    return f'{{"instance":{name},{text[1:]}'
