"""Lines of the log files, decoded: what workers printed, and the daemon's own records."""

from binascii import a2b_base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import msgspec

if TYPE_CHECKING:
    from supervisor.runtime.record_line import RecordLine

DAEMON = "nsvisor"  # stands for the instance of a record that is about none


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
        try:
            return a2b_base64(self.m).decode(errors="replace") if self.e else self.m
        except ValueError:  # somebody wrote into the file
            return self.m


DECODER = msgspec.json.Decoder(Stored)


class Line(NamedTuple):
    """One line and whose it is. Neither `stored` nor `record`: what is not in the format."""

    instance: str
    raw: bytes
    stored: Stored | None = None
    record: "RecordLine | None" = None
    neighbour: float = 0.0  # the time of the one read before, for what is not in the format

    @classmethod
    def read(cls, instance: str, raw: bytes, neighbour: float = 0.0) -> Self:
        """Decode a line of a worker's log."""
        try:
            return cls(instance, raw, DECODER.decode(raw))
        except msgspec.MsgspecError:
            return cls(instance, raw, None, None, neighbour)

    def when(self) -> float:
        """Its time."""
        known = self.stored if self.stored is not None else self.record
        return known.t if known is not None else self.neighbour

    def text(self) -> str:
        """Its text."""
        if self.record is not None:
            return self.record.text()
        return self.stored.text() if self.stored is not None else self.raw.decode(errors="replace")

    def is_partial(self) -> bool:
        """Whether it goes on in the next one of its stream."""
        return self.stored is not None and self.stored.p

    def continues(self, before: "Line") -> bool:
        """Whether it is the next piece of a partial one."""
        ours, theirs = self.stored, before.stored
        if ours is None or theirs is None or not theirs.p:
            return False
        return (self.instance, ours.s, ours.i) == (before.instance, theirs.s, theirs.i)


def record_reader() -> Callable[[bytes], Line | None]:
    """A function that decodes a line of the daemon's records; it answers None for what is not in the format."""
    from supervisor.runtime.record_line import decode  # noqa: PLC0415

    def read(raw: bytes) -> Line | None:
        try:
            record = decode(raw)
        except msgspec.MsgspecError:
            return None
        fields = record.fields
        return Line(str(fields.get("instance") or fields.get("worker") or DAEMON), raw, None, record)

    return read
