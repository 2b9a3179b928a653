"""Blocks of lines on their way into a log file that works, fails, or is slow.

As long as writing is quick it is done at once. After one write that took long (a slow or throttled disk) the next ones
wait in a queue and are written by a thread, so that nothing else in the daemon waits for this file.
"""

import resource
import time
from collections import deque
from collections.abc import Callable, Sequence
from threading import get_ident

import trio

from supervisor.runtime.journal_sink import JournalSink
from supervisor.runtime.log_file import LogFile, errno_name
from supervisor.runtime.log_line import Buffer, decode
from supervisor.runtime.losses import Losses, Publish, StartSoon

LineFile = LogFile | JournalSink

RECOVERED_AFTER_S = 1.0  # without a failure: a nearly full disk takes a short line now and then
SLOW_S = 0.05  # one write
CALM_S = 10.0  # without a slow one
QUEUE_BYTES = 1024 * 1024  # of lines that wait for a slow file
WRITE_BYTES = 384 * 1024  # of those, at once


class LogSink:
    """One instance's. write() never raises: what cannot be kept is counted and reported."""

    def __init__(
        self,
        losses: Losses,
        publish: Publish,
        start_soon: StartSoon | None = None,
        settled: Callable[[int], None] = lambda _: None,
    ) -> None:
        """start_soon: of a nursery that lives as long as the daemon; without it nothing is ever queued.

        settled: hears how many bytes of the worker's are written, or told as lost.
        """
        self.file: LineFile | None = None
        self.waiters = trio.lowlevel.ParkingLot()  # for the queue to become shorter
        self._losses = losses
        self._publish_now = publish
        self._start_soon = start_soon
        self._settled = settled
        self._thread = get_ident()
        self._queue: deque[tuple[LineFile, bytes, int]] = deque()
        self._queued_bytes = 0
        self._flushing = False
        self._retired: list[LineFile] = []  # to be closed when the queue is empty
        self._slow_until = 0.0  # monotonic
        self._failed_at: float | None = None  # monotonic, of the last failure not yet recovered from
        self._lost_before = (0, 0)  # lines and bytes, when that began
        self._untold_bytes = 0  # of what failed, since then
        self._works = True  # the last write did

    @property
    def is_full(self) -> bool:
        """Whether the queue is as long as it may get."""
        return self._queued_bytes >= QUEUE_BYTES

    @property
    def is_flushing(self) -> bool:
        """Whether what is written now may take its time: a thread does it, or the daemon leaves."""
        return self._flushing

    def write(self, parts: Sequence[Buffer], raw_bytes: int) -> None:
        """Whole lines of the file's, in parts. raw_bytes: what they stand for."""
        file = self.file
        if file is None:
            self._settled(raw_bytes)
            return
        now, waits = time.monotonic(), _waits()
        if self._flushing or (now < self._slow_until and self._start_soon is not None):
            self._put(file, b"".join(parts), raw_bytes)
            return
        kept = file.write(*parts)
        if isinstance(file.error, BlockingIOError) and self._start_soon is not None:  # a full journal
            whole = b"".join(parts)
            kept_bytes = _raw_bytes(whole[:kept])
            self._settled(kept_bytes)
            self._put(file, whole[kept:], raw_bytes - kept_bytes)
            return
        self._account(file, parts, raw_bytes, kept)
        if _waits() > waits:  # else it was only another process's turn
            self._note_time(now)

    def _put(self, file: LineFile, block: bytes, raw_bytes: int) -> None:
        """Leave it to the thread."""
        self._queue.append((file, block, raw_bytes))
        self._queued_bytes += len(block)
        if not self._flushing and self._start_soon is not None:
            self._flushing = True
            self._start_soon(self._flush)

    def replace(self, file: LineFile | None) -> None:
        """Write to another file from the next line on; the present one is closed."""
        self.close()
        self.file = file

    def close(self) -> None:
        """Say what was lost, and close the file once all is in it. Later writes open it again."""
        if self.file is None:
            return
        if self._flushing:
            self._retired.append(self.file)
        else:
            self._settle(self.file)
            self.file.close()

    def publish(self, event: str, level: str, **fields: object) -> None:
        """An event of the file's, from whichever thread."""
        if get_ident() == self._thread:
            self._publish_now(event, level, **fields)
        else:
            trio.from_thread.run_sync(lambda: self._publish_now(event, level, **fields))

    async def _flush(self) -> None:
        limiter = trio.CapacityLimiter(1)
        try:
            while self._queue:
                file, block, raw_bytes = self._next()
                self.waiters.unpark_all()
                began = time.monotonic()
                try:
                    kept = await trio.to_thread.run_sync(file.write, block, limiter=limiter)
                except trio.Cancelled:  # before it began
                    self._queue.appendleft((file, block, raw_bytes))
                    self._queued_bytes += len(block)
                    raise
                self._account(file, (block,), raw_bytes, kept)
                self._note_time(began)
        finally:  # where the daemon leaves, the rest is written at once
            while self._queue:
                file, block, raw_bytes = self._next()
                self._account(file, (block,), raw_bytes, file.write(block))
            self._flushing = False
            self.waiters.unpark_all()
            for file in self._retired:
                self._settle(file)
                file.close()
            self._retired.clear()

    def _next(self) -> tuple[LineFile, bytes, int]:
        """The first of the queue, with what follows it into the same file."""
        file, block, raw_bytes = self._queue.popleft()
        blocks, size = [block], len(block)
        while self._queue and self._queue[0][0] is file and size + len(self._queue[0][1]) <= WRITE_BYTES:
            _, block, more = self._queue.popleft()
            blocks.append(block)
            size += len(block)
            raw_bytes += more
        self._queued_bytes -= size
        return file, b"".join(blocks), raw_bytes

    def _note_time(self, began: float) -> None:
        now = time.monotonic()
        if now - began > SLOW_S:
            self._slow_until = now + CALM_S

    def _account(self, file: LineFile, parts: Sequence[Buffer], raw_bytes: int, kept: int) -> None:
        if kept == sum(map(len, parts)):
            self._works = True
            self._settled(raw_bytes)
            if self._failed_at is not None and time.monotonic() - self._failed_at >= RECOVERED_AFTER_S:
                self._settle(file)
            return
        if self._failed_at is None:
            self._lost_before = (self._losses.lines, self._losses.bytes)
            error = file.error or OSError()
            self.publish("log.failed", "error", path=file.path, errno=errno_name(error), error=str(error))
        self._works = False
        self._failed_at = time.monotonic()
        lost = b"".join(parts)[kept:]
        lost_bytes = _raw_bytes(lost) if kept else raw_bytes
        self._settled(raw_bytes - lost_bytes)
        self._untold_bytes += lost_bytes
        self._losses.count(lost.count(b"\n"), lost_bytes)

    def _settle(self, file: LineFile) -> None:
        """Say what was lost since log.failed, if that was said."""
        if self._failed_at is None:
            return
        self._failed_at = None
        lines, size_bytes = self._losses.lines - self._lost_before[0], self._losses.bytes - self._lost_before[1]
        fields = {"path": file.path, "lost_lines": lines, "lost_bytes": size_bytes}
        if self._works:
            self.publish("log.recovered", "warning", **fields)
        else:
            self.publish("log.dropped", "error", reason="failed", **fields)
        self._settled(self._untold_bytes)
        self._untold_bytes = 0


def _raw_bytes(lines: bytes) -> int:
    """What the worker wrote of these lines of its file."""
    return sum(len(decode(line).raw()) for line in lines.splitlines())


def _waits() -> int:
    """How often this thread has waited for something."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
