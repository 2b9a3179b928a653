"""Which lines of the logs are wanted. Pure."""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from supervisor.cli.log_lines import DAEMON, Line

LEVELS = ("debug", "info", "warning", "error", "critical")
OUTPUT_LEVEL = "info"  # what a worker prints counts as this


class Selection(NamedTuple):
    """What was asked for; None asks for nothing."""

    stream: str | None = None  # of what workers print; records have none, and stay
    since: float | None = None
    until: float | None = None
    grep: re.Pattern[str] | None = None  # a long line is kept in pieces: each for itself
    incarnations: Mapping[str, int] | None = None  # by instance
    phase: str | None = None
    level: str | None = None
    brief: bool = False  # without the phases that went well: the record that ends a launch sums them up

    def wants(self, line: Line) -> bool:
        """Whether this line is wanted.

        What is not in the format is shown, unless something is asked that it cannot answer.
        """
        if self == Selection():
            return True
        if line.stored is None and line.record is None:
            return self._replace(grep=None, brief=False) == Selection() and (
                self.grep is None or bool(self.grep.search(line.text()))
            )
        when = line.when()
        return (
            (self.since is None or when >= self.since)
            and (self.until is None or when <= self.until)
            and (self._wants_output(line) if line.stored is not None else self._wants_record(line))
            and (self.grep is None or bool(self.grep.search(line.text())))
        )

    def _wants_output(self, line: Line) -> bool:
        stored = line.stored
        return (
            stored is not None
            and self.phase is None
            and self.stream in (None, stored.s)
            and (self.incarnations is None or self.incarnations.get(line.instance) == stored.i)
            and (self.level is None or LEVELS.index(self.level) <= LEVELS.index(OUTPUT_LEVEL))
        )

    def _wants_record(self, line: Line) -> bool:
        record = line.record
        if record is None:
            return False
        number = record.fields.get("incarnation")
        return (
            not (self.brief and record.event == "setup.phase" and record.fields.get("outcome") in ("ok", "skipped"))
            and (self.phase is None or record.fields.get("phase") == self.phase)
            and (self.incarnations is None or (number is not None and self.incarnations.get(line.instance) == number))
            and (self.level is None or _rank(record.level) >= LEVELS.index(self.level))
        )


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else len(LEVELS)


def concerns(line: Line, names: Collection[str]) -> bool:
    """Whether a record is about one of these instances, or about none in particular."""
    if line.instance == DAEMON or line.instance in names:
        return True
    return line.record is not None and "instance" not in line.record.fields and _is_worker_of(line.instance, names)


def _is_worker_of(worker: str, names: Collection[str]) -> bool:
    return any(name.rpartition("-")[0] == worker for name in names)
