"""The program's own records as entries of the journal, each variable a field of its own."""

import errno
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

import msgspec

from supervisor.telemetry.events import message_id
from supervisor.telemetry.journal import PRIORITIES, JournalSocket, encode_field
from supervisor.telemetry.render import plain
from supervisor.telemetry.sentences import sentence

IDENTIFIER = "nsvisor"
PATIENCE_MS = 100  # how long a full queue is waited for, once
_LONGEST_NAME = 64
_NOT_IN_NAMES = re.compile("[^A-Z0-9_]")
_NOT_FIELDS = ("event", "timestamp")  # NSVISOR_EVENT is written first, and the time is the journal's


def encode_record(level: str, fields: Mapping[str, Any]) -> bytes:
    """One record. A field `phase` is NSVISOR_PHASE; an errno's name there has its number in ERRNO besides."""
    event = str(fields["event"])
    parts = [
        encode_field("MESSAGE", _value(sentence(event, fields))),
        encode_field("MESSAGE_ID", message_id(event).encode()),
        encode_field("PRIORITY", b"%d" % PRIORITIES[level]),
        encode_field("SYSLOG_IDENTIFIER", IDENTIFIER.encode()),
        encode_field("NSVISOR_EVENT", _value(event)),
    ]
    number = getattr(errno, str(fields.get("errno")), None)
    if isinstance(number, int):
        parts.append(encode_field("ERRNO", b"%d" % number))
    parts += [
        encode_field(_name(key), _value(value))
        for key, value in fields.items()
        if value is not None and key not in _NOT_FIELDS
    ]
    return b"".join(parts)


@cache
def _name(key: str) -> str:
    return _NOT_IN_NAMES.sub("_", f"NSVISOR_{key.upper()}")[:_LONGEST_NAME]


def _value(value: object) -> bytes:
    """Text as it is, bytes that os.fsdecode hid in it too; all else as JSON."""
    if type(value) is int:
        return b"%d" % value
    if isinstance(value, str):
        try:
            return value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return value.encode("utf-8", "backslashreplace")
    return msgspec.json.encode(plain(value))


class Fallback(Protocol):
    """Where records go while the journal takes none."""

    lost: int  # of those, since the last one that was written

    def write(self, level: str, fields: dict[str, Any]) -> None:
        """Write one record, or count it as lost."""


class JournalWriter:
    """A structlog logger for records that are not rendered yet.

    While the journal takes none they go to `fallback`, which is told so before the first; the journal is told how many
    there were, once it works again. It waits for PATIENCE_MS at most, and not again before an entry was taken.
    """

    def __init__(self, journal: JournalSocket, fallback: "Fallback") -> None:
        self.elsewhere = 0  # records since the journal took one
        self._journal = journal
        self._fallback = fallback
        self._patience_ms = PATIENCE_MS

    def write(self, level: str, fields: dict[str, Any]) -> None:
        """Write one record. `event` and whatever else it has are in `fields`."""
        try:
            if self.elsewhere:
                self._send(encode_record("warning", self._recovered()))
                self.elsewhere = 0
                self._fallback.lost = 0
            self._send(encode_record(level, fields))
        except OSError as error:
            if not self.elsewhere:
                reason = {"errno": errno.errorcode.get(error.errno or 0), "error": str(error)}
                self._fallback.write("warning", {"event": "journal.unavailable", **reason})
            self.elsewhere += 1
            self._patience_ms = 0
            self._fallback.write(level, fields)
        else:
            self._patience_ms = PATIENCE_MS

    def _recovered(self) -> dict[str, Any]:
        lost = self._fallback.lost
        return {"event": "journal.recovered", "records": max(0, self.elsewhere - lost), "lost": lost or None}

    def _send(self, entry: bytes) -> None:
        try:
            self._journal.send(entry)
        except BlockingIOError:
            if not self._journal.poll(self._patience_ms):
                raise
            self._journal.send(entry)

    def debug(self, fields: dict[str, Any]) -> None:
        """As structlog calls it."""
        self.write("debug", fields)

    def info(self, fields: dict[str, Any]) -> None:
        """As structlog calls it."""
        self.write("info", fields)

    def warning(self, fields: dict[str, Any]) -> None:
        """As structlog calls it."""
        self.write("warning", fields)

    def error(self, fields: dict[str, Any]) -> None:
        """As structlog calls it."""
        self.write("error", fields)

    def critical(self, fields: dict[str, Any]) -> None:
        """As structlog calls it."""
        self.write("critical", fields)
