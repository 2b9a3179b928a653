"""What one line of the file of the daemon's own records looks like, both ways.

    {"t":1769900399.000001,"level":"info","event":"worker.running","fields":{"worker":"web","instance":"web-0","pid":7}}

t is seconds since the epoch. Events and their fields are those of supervisor.telemetry.events.
"""

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from supervisor.telemetry.render import line
from supervisor.telemetry.sentences import sentence

FILE_NAME = "daemon.records"  # beside the workers' NAME.log, and never one of them


class RecordLine(msgspec.Struct, frozen=True):
    """One record."""

    t: float
    level: str
    event: str
    fields: dict[str, Any]

    def text(self) -> str:
        """For people."""
        return sentence(self.event, self.fields)


decode = msgspec.json.Decoder(RecordLine).decode


def encode(when: float, level: str, event: str, fields: Mapping[str, Any]) -> bytes:
    """One record with its line end, whatever is in its fields."""
    return line({"t": when, "level": level, "event": event, "fields": fields})


def path_beside(log_directory: str) -> str:
    """Where the records are, given where the workers' logs are."""
    return os.path.join(log_directory, FILE_NAME)
