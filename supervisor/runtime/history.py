"""The last exits and launches of an instance, kept in a small file so that the next daemon can explain them too."""

import os
from collections import deque
from contextlib import suppress

import msgspec

from supervisor.spec.records import ExitRecord, LaunchRecord, Remembered, Timings, Usual
from supervisor.spec.usual import usual, with_launch

EXITS = 20
LAUNCHES = 2  # the last one, and the last one that failed


class History:
    """Bounded in memory and on disk. A disk that is full costs the file, never the daemon: `error` says so."""

    def __init__(self, directory: str, instance: str) -> None:
        self._path = os.path.join(directory, f"{instance}.json")
        self.launches: deque[LaunchRecord] = deque(maxlen=LAUNCHES)
        self.exits: deque[ExitRecord] = deque(maxlen=EXITS)
        self.timings = Timings()
        self.incarnation = 0
        self.error: OSError | None = None
        with suppress(OSError, msgspec.DecodeError, RecursionError), open(self._path, "rb") as file:
            kept = msgspec.json.decode(file.read(), type=Remembered)
            self.launches.extend(kept.launches)
            self.exits.extend(kept.exits)
            self.timings = kept.timings
            self.incarnation = max(kept.incarnation, *(one.incarnation for one in kept.exits), 0)

    def add_launch(self, record: LaunchRecord) -> None:
        """Keep the last launch, and beside it the last that failed."""
        failed = [kept for kept in self.launches if kept.outcome != "ok"][-1:]
        self.launches.clear()
        self.launches.extend([*failed, record])
        if record.outcome == "ok":
            self.timings = with_launch(self.timings, record)
        self.incarnation = max(self.incarnation, record.incarnation)

    @property
    def usual(self) -> Usual | None:
        """What to compare the last launch with."""
        return usual(self.launches[-1], self.timings) if self.launches else None

    def exit_of(self, incarnation: int) -> ExitRecord | None:
        """How it ended, if that is known: by an earlier daemon, which was killed before it could draw conclusions."""
        return next((record for record in reversed(self.exits) if record.incarnation == incarnation), None)

    def add_exit(self, record: ExitRecord) -> None:
        """Keep an exit."""
        self.exits.append(record)
        self.incarnation = max(self.incarnation, record.incarnation)

    def save(self) -> None:
        """Replace the file as a whole, or leave it and say in `error` why."""
        kept = Remembered(self.incarnation, tuple(self.launches), tuple(self.exits), self.timings)
        beside = f"{self._path}.new"
        try:
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                data = msgspec.json.encode(kept)
                if os.write(fd, data) != len(data):
                    raise OSError(28, "the file system is full")
            finally:
                os.close(fd)
            os.rename(beside, self._path)
            self.error = None
        except OSError as error:
            self.error = error
            with suppress(OSError):
                os.unlink(beside)

    def remove(self) -> None:
        """Forget the instance."""
        with suppress(OSError):
            os.unlink(self._path)
