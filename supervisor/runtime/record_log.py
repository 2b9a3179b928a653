"""The daemon's own records in a file of their own, so that `nsvisor logs --all` and `explain` find them later.

They are the ones that go to the journal or to standard error, after the same log level. At most MAX_SIZE_BYTES
times (KEEP + 1) on disk.
"""

import os

import trio

from supervisor.runtime.log_file import LogFile, errno_name
from supervisor.runtime.record_line import FILE_NAME, encode
from supervisor.telemetry.bus import EventBus, EventRecord

MAX_SIZE_BYTES = 4 * 1024 * 1024
KEEP = 4
WAITING = 256  # records that are written at once, where the daemon finds no time before


class RecordLog:
    """add() never raises and writes nothing: run() does, as soon as the daemon has nothing better to do."""

    def __init__(self, directory: str, bus: EventBus) -> None:
        self.lost = 0  # records, since the file took one
        self._bus = bus
        self._file = LogFile(os.path.join(directory, FILE_NAME), MAX_SIZE_BYTES, KEEP, bus.publish)
        self._waiting: list[bytes] = []
        self._some = trio.Event()
        bus.keep(self.add)

    def add(self, record: EventRecord) -> None:
        """Take a record."""
        self._waiting.append(encode(record.time, record.level, record.event, record.fields))
        self._some.set()
        if len(self._waiting) == WAITING:
            self.flush()

    async def run(self) -> None:
        """Write what comes, until cancelled."""
        while True:
            await self._some.wait()
            self._some = trio.Event()
            self.flush()

    def flush(self) -> None:
        """Write what waits. What the file does not take is counted, and told once."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        block = b"".join(waiting)
        kept = self._file.write(block)
        missing = block.count(b"\n", kept)
        if not missing:
            if self.lost:
                lost, self.lost = self.lost, 0
                self._bus.publish("records.recovered", "warning", path=self._file.path, lost=lost)
            return
        first, self.lost = not self.lost, self.lost + missing
        if first:
            error = self._file.error or OSError()
            self._bus.publish(
                "records.failed", "error", path=self._file.path, errno=errno_name(error), error=str(error)
            )

    def close(self) -> None:
        """Write what waits and close the file. Later records open it again."""
        self.flush()
        self.flush()  # what the first one had to tell
        self._file.close()
