"""The records of all daemons, read as they come; of what was read only the last megabytes are kept on the disk."""

import ctypes
import errno
import json
import os
from collections import Counter, defaultdict, deque
from pathlib import Path
from typing import Any

from tests.torture.invariants import Invariants

KEPT_BYTES = 64 << 20
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
NEVER = (  # nothing that a soak does is a reason for them
    "state.unreadable",
    "state.damaged",
    "daemon.failed",
    "control.failed",
    "control.lost",
    "history.failed",
    "ids.failed",
    "records.failed",
    "log.failed",
    "log.unwatched",
    "worker.unkillable",
    "worker.event_refused",
    "daemon.reexec_failed",
    "keeper.unrecorded",
    "keeper.scope_failed",
)
_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class Records:
    """Follows the file; says what no soak excuses."""

    def __init__(self, file: Path, invariants: Invariants) -> None:
        self.file = file
        self.invariants = invariants
        self.events: Counter[str] = Counter()
        self.causes: Counter[str] = Counter()  # of exits
        self.last: deque[dict[str, Any]] = deque(maxlen=4000)
        self.lost: dict[str, list[dict[str, Any]]] = defaultdict(list)  # what was told of output, by instance
        self._at = 0
        self._punched = 0
        self._rest = b""
        self._exits: dict[str, deque[int]] = defaultdict(lambda: deque(maxlen=50))

    def read(self) -> None:
        """All that is new."""
        if not self.file.exists():
            return
        with self.file.open("r+b") as file:
            file.seek(self._at)
            data = self._rest + file.read()
            self._at = file.tell()
            *lines, self._rest = data.split(b"\n")
            self._punch(file.fileno())
        for line in lines:
            self._take(line)

    def _punch(self, fd: int) -> None:
        end = (self._at - KEPT_BYTES) // 4096 * 4096
        if end > self._punched:
            mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
            if _libc.fallocate(fd, mode, self._punched, end - self._punched) == 0:
                self._punched = end
            elif ctypes.get_errno() != errno.EOPNOTSUPP:  # then all of it is kept
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def _take(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            event: str = record["event"]
        except (ValueError, KeyError, TypeError):
            if b"Traceback" in line or b"Error" in line.partition(b"{")[0]:
                self.invariants.say(f"a daemon wrote: {line.decode(errors='replace')}")
            return  # else one that was killed while it wrote
        self.last.append(record)
        self.events[event] += 1
        if event in NEVER or record.get("level") == "critical":
            self.invariants.say(f"{event}: {json.dumps(record)}")
        elif event in ("log.lost", "log.dropped"):
            self.lost[record["instance"]].append(record)
        elif event == "worker.exited":
            self.causes[record["cause"]] += 1
            told = self._exits[record["instance"]]
            if record["incarnation"] in told:
                self.invariants.say(f"an exit was told twice: {json.dumps(record)}")
            told.append(record["incarnation"])
        elif event == "worker.removed":
            self._exits.pop(record["instance"], None)  # should it come back, its numbers begin anew

    def about(self, what: str, count: int = 40) -> list[str]:
        """The last records of the instances that this text names; of all where it names none."""
        names = {one["instance"] for one in self.last if one.get("instance") and one["instance"] in what}
        told = [one for one in self.last if one["event"] != "setup.phase" or one.get("outcome") == "failed"]
        chosen = [
            one
            for one in told
            if not names or one.get("instance", one["event"].partition(".")[0]) in {*names, "daemon", "keeper"}
        ]
        return [json.dumps(one) for one in chosen[-count:]]
