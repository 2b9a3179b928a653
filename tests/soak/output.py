"""The numbered lines of one instance, followed through rotations, compared with what was written and what was told."""

import json
import os
import time
from collections import deque
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tests.torture.invariants import Invariants
from tests.torture.workload import line

ALIVE_WITHOUT_PIPE_BYTES = 2 << 20  # a pipe's content, which goes with daemon and keeper when both are killed
TOLD_WITHIN_S = 15.0


class Missing(NamedTuple):
    """At some moment."""

    holes: int
    beginnings: int  # lines that lack theirs
    bytes: int


class Output:
    """What is known of one instance's log. `look` reads on, `settle` compares."""

    def __init__(
        self, instance: str, log: Path, data: Path, invariants: Invariants, *, comes_and_goes: bool = False
    ) -> None:
        """comes_and_goes: it is taken out of the configuration at times, and when it is back its numbers begin anew.

        If its daemon is killed at such a moment, the next one ends it as a stray, and has no log for its last words.
        """
        self.instance = instance
        self._comes_and_goes = comes_and_goes
        self.lines = self.holes = self.unread = 0
        self.excused: set[int] = set()  # starts whose pipes were lost with daemon and keeper
        self._log, self._data, self._invariants = log, data, invariants
        self._inode, self._at = 0, 0
        self._held: int | None = None
        self._start = self._number = 0
        self._known = True  # the line before is
        self._piece = ""  # of a line that goes on in the next
        self._incarnation = 0
        self._incarnations: deque[int] = deque(maxlen=50)
        self._mangled = self._missing_bytes = self._slack = 0
        self._before, self._settled_at = Missing(0, 0, 0), time.monotonic()

    def say(self, what: str) -> None:
        self._invariants.say(f"{self.instance}: {what}")

    @property
    def starts(self) -> int:
        """How often the workload was started."""
        with suppress(FileNotFoundError):
            return (self._data / f"{self.instance}.starts").read_bytes().count(b"\n")
        return 0

    def look(self) -> None:
        """Read all whole lines that are new."""
        with ExitStack() as stack:
            files = self._files(stack)
            inodes = [os.fstat(file.fileno()).st_ino for file in files]
            if self._inode in inodes:
                files = files[inodes.index(self._inode) :]
            elif self._inode:  # removed before it was read to its end
                self.unread += 1
                self._known = False
            for file in files:
                self._read(file)

    def _files(self, stack: ExitStack) -> list[BinaryIO]:
        """All that there are, oldest first, as at one moment."""
        while True:
            with suppress(FileNotFoundError):  # renamed in between
                found = sorted(self._log.parent.glob(f"{self._log.name}*"), key=lambda path: -_rank(path))
                files: list[BinaryIO] = [stack.enter_context(path.open("rb")) for path in found]
                if [path.stat().st_ino for path in found] == [os.fstat(file.fileno()).st_ino for file in files]:
                    return files

    def _read(self, file: BinaryIO) -> None:
        inode = os.fstat(file.fileno()).st_ino
        if inode != self._inode:
            if self._held is not None:
                os.close(self._held)
            self._held = os.dup(file.fileno())  # so that no other file gets its number
            self._inode, self._at = inode, 0
        file.seek(self._at)
        data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        for text in whole.splitlines():
            self._take(text)

    def _take(self, text: bytes) -> None:
        try:
            stored = json.loads(text)
        except ValueError:
            self.say(f"the log holds what is no line: {text[:200]!r}")
            return
        if stored["i"] < self._incarnation and not self._comes_and_goes:
            self.say(f"a line of incarnation {stored['i']} after one of {self._incarnation}")
        self._incarnation = stored["i"]
        if stored["s"] != "stdout":
            return
        self.lines += 1
        piece, self._piece = self._piece, ""
        # A re-exec writes what it has of a line, and the next program goes on with it.
        found = _whole(stored["m"]) or _whole(piece + stored["m"])
        if found is None:
            if stored.get("p"):  # else its writer was killed
                self._piece = piece + stored["m"]
            self._mangled += not stored.get("p")
            return
        start, number = found
        if start != self._start:
            self._end(start)
            may_repeat = self._comes_and_goes or start - 1 in self.excused  # the number was lost with the state
            if stored["i"] in self._incarnations and not may_repeat:
                self.say(f"incarnation {stored['i']} was started twice")
            self._incarnations.append(stored["i"])
        elif self._known and number <= self._number:
            self.say(f"start {start}: line {number} after line {self._number}")
        if self._known and number > self._number + 1:
            self._hole(start, self._number + 1, number - 1)
        self._start, self._number, self._known = start, number, True

    def _hole(self, start: int, first: int, last: int) -> None:
        self.holes += 1
        self._missing_bytes += sum(len(line(start, number)) for number in range(first, last + 1))
        self._slack += len(line(start, last))  # of a line whose first bytes were lost the rest is there

    def _end(self, start: int) -> None:
        """All is there of the starts before this one."""
        if start < self._start:
            self.say(f"a line of start {start} after one of {self._start}")
        for ended in range(max(1, self._start), start):
            path = self._data / f"{self.instance}.{ended}.count"
            with suppress(FileNotFoundError):  # ended before it made one
                written = int(path.read_text().strip("\0 ") or 0)
                last = self._number if ended == self._start else 0
                if self._known and last < written:
                    if ended in self.excused or self._comes_and_goes:
                        self._excuse(ended, last + 1, written)
                    else:
                        self._hole(ended, last + 1, written)
                path.unlink()
        self._number = 0

    def _excuse(self, start: int, first: int, last: int) -> None:
        size = sum(len(line(start, number)) for number in range(first, last + 1))
        if size > ALIVE_WITHOUT_PIPE_BYTES:
            self.say(f"{size} bytes are missing after daemon and keeper were killed")

    def settle(self, told: list[dict[str, Any]], *, dropped: bool) -> None:
        """Compare what was missing when this was last called with what the daemons have said by now.

        dropped: lines are lost by configuration, in any number of holes. What a daemon counts itself it says every ten
        seconds.
        """
        now = time.monotonic()
        if now - self._settled_at > TOLD_WITHIN_S:
            self._compare(told, self._before, dropped)
            self._before, self._settled_at = self._missing(), now

    def finish(self, told: list[dict[str, Any]], *, dropped: bool) -> None:
        """Nothing more is written, and nothing more will be said."""
        self.look()
        if self._held is not None:
            os.close(self._held)
            self._held = None
        self._end(self.starts + 1)
        self._compare(told, self._missing(), dropped)

    def _missing(self) -> Missing:
        return Missing(self.holes, self._mangled, self._missing_bytes)

    def _compare(self, told: list[dict[str, Any]], missing: Missing, dropped: bool) -> None:
        lost = [one for one in told if one["event"] == "log.lost"]
        said = sum(one["lost_bytes_most"] for one in lost) + sum(
            one["lost_bytes"] for one in told if one["event"] == "log.dropped"
        )
        if missing.holes > len(told) and not dropped:
            self.say(f"{missing.holes} holes in its log, {len(told)} were told: {told[-5:]}")
        if missing.beginnings > sum(len(one["cut_streams"]) for one in lost):
            self.say(f"{missing.beginnings} lines lack their beginning, and not so many were told: {lost[-5:]}")
        if missing.bytes > said + self._slack:
            self.say(f"{missing.bytes} bytes are missing, told were {said}: {told[-5:]}")


def _whole(text: str) -> tuple[int, int] | None:
    """Start and number of a line as it was written."""
    words = text.split(" ")
    with suppress(ValueError, IndexError):
        start, number = int(words[0]), int(words[1])
        if f"{text}\n".encode() == line(start, number):
            return start, number
    return None


def _rank(path: Path) -> int:
    suffix = path.suffix.removeprefix(".")
    return int(suffix) if suffix.isdecimal() else 0
