"""A worker's standard output and error: read from its pipes, kept as lines of a log file.

Whatever becomes of the file, the pipe is read on: a full disk costs lines, which are counted, and blocks no worker.
"""

import errno
import os
import resource
import time
from typing import Literal

import trio

from supervisor.runtime.log_file import LogFile, errno_name
from supervisor.runtime.log_line import LineSplitter, decode, encode_lines, encode_piece, head
from supervisor.spec.model import Log
from supervisor.telemetry.bus import EventBus

Stream = Literal["stdout", "stderr"]

READ_BYTES = 64 * 1024
TAIL_BYTES = 8 * 1024
TAIL_LINES = 20
HEADROOM = 64  # descriptors that pipes leave for launches, clients and files
CHUNKS_A_TURN = 4  # of one stream, before other tasks get theirs
RECOVERED_AFTER_S = 1.0  # without a failure: a nearly full disk takes a short line now and then


class _Source:
    """What is remembered of one stream."""

    def __init__(self) -> None:
        self.lines = LineSplitter()
        self.tail = b""
        self.tail_is_cut = False


class OutputWriter:
    """One instance's log. feed() never raises: what cannot be kept is counted and reported as an event."""

    def __init__(self, instance: str, directory: str, log: Log, bus: EventBus) -> None:
        self.instance = instance
        self.incarnation = 0
        self.read_bytes = 0  # over the writer's life, as all counters here
        self.lost_bytes = 0
        self.lost_lines = 0
        self._directory = directory
        self._bus = bus
        self._file: LogFile | None = None
        self._sources: dict[Stream, _Source] = {"stdout": _Source(), "stderr": _Source()}
        self._failed_at: float | None = None  # monotonic, of the last failure not yet recovered from
        self._lost_before = (0, 0)  # lines and bytes, when that began
        self._works = True  # the last write did
        self.configure(log)

    @property
    def path(self) -> str | None:
        """The log file, if there is one."""
        return None if self._file is None else self._file.path

    def configure(self, log: Log) -> None:
        """Follow another [worker.NAME.log] from the next line on."""
        self._leave()
        self._file = None
        if log.sink == "file":
            path = os.path.join(self._directory, f"{self.instance}.log")
            self._file = LogFile(path, log.max_size_bytes, log.keep, self._publish)

    def begin(self, incarnation: int) -> None:
        """What is fed from now on is this incarnation's."""
        self.flush("stdout")
        self.flush("stderr")
        self.incarnation = incarnation
        for source in self._sources.values():
            source.tail, source.tail_is_cut = b"", False

    def feed(self, stream: Stream, chunk: bytes) -> None:
        """Keep what was read from this stream. A line is written once its end was read."""
        source = self._sources[stream]
        self.read_bytes += len(chunk)
        tail = chunk if len(chunk) >= TAIL_BYTES else source.tail + chunk
        if len(tail) > TAIL_BYTES:
            source.tail_is_cut = True
            tail = tail[-TAIL_BYTES:]
        source.tail = tail
        if self._file is None:
            return
        found = source.lines.feed(chunk)
        if found:
            beginning = head(time.time(), stream, self.incarnation)
            blocks = [
                encode_lines(beginning, data) if whole else encode_piece(beginning, data) for data, whole in found
            ]
            self._write(self._file, blocks[0] if len(blocks) == 1 else b"".join(blocks))

    def flush(self, stream: Stream) -> None:
        """The stream has ended: keep what waited for its line end, as a piece."""
        rest = self._sources[stream].lines.flush()
        if rest and self._file is not None:
            self._write(self._file, encode_piece(head(time.time(), stream, self.incarnation), rest))

    def tail(self, stream: Stream = "stderr", n: int = TAIL_LINES) -> tuple[str, ...]:
        """The last lines of this incarnation, at most TAIL_BYTES of them, whatever the sink."""
        source = self._sources[stream]
        lines = source.tail.removesuffix(b"\n").split(b"\n") if source.tail else []
        if source.tail_is_cut and len(lines) > 1:
            del lines[0]
        return tuple(line.decode(errors="backslashreplace") for line in lines[max(0, len(lines) - n) :])

    def close(self) -> None:
        """Keep what is left and close the file. Later writes open it again."""
        self.flush("stdout")
        self.flush("stderr")
        self._leave()

    def _leave(self) -> None:
        if self._file is not None:
            self._settle()
            self._file.close()

    def _write(self, file: LogFile, block: bytes) -> None:
        kept = file.write(block)
        if kept == len(block):
            self._works = True
            if self._failed_at is not None and time.monotonic() - self._failed_at >= RECOVERED_AFTER_S:
                self._settle()
            return
        if self._failed_at is None:
            self._lost_before = (self.lost_lines, self.lost_bytes)
            error = file.error or OSError()
            self._publish("log.failed", "error", path=file.path, errno=errno_name(error), error=str(error))
        self._works = False
        self._failed_at = time.monotonic()
        lost = [decode(line) for line in block[kept:].splitlines()]
        self.lost_lines += len(lost)
        self.lost_bytes += sum(len(line.raw()) for line in lost)

    def _settle(self) -> None:
        """Say what was lost since log.failed, if that was said."""
        if self._file is None or self._failed_at is None:
            return
        self._failed_at = None
        lines, size = self.lost_lines - self._lost_before[0], self.lost_bytes - self._lost_before[1]
        if self._works:
            self._publish("log.recovered", "warning", path=self._file.path, lost_lines=lines, lost_bytes=size)
        else:
            self._publish("log.dropped", "error", path=self._file.path, lost_lines=lines, lost_bytes=size)

    def _publish(self, event: str, level: str, **fields: object) -> None:
        self._bus.publish(event, level, instance=self.instance, incarnation=self.incarnation, **fields)


def open_pipes() -> tuple[int, int, int, int]:
    """Reading and writing end for stdout, the same for stderr. EMFILE while the rest still has descriptors left."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    stdout, stdout_writer = os.pipe2(os.O_CLOEXEC)
    try:
        stderr, stderr_writer = os.pipe2(os.O_CLOEXEC)
    except OSError:
        os.close(stdout)
        os.close(stdout_writer)
        raise
    pipes = (stdout, stdout_writer, stderr, stderr_writer)
    for fd in (stdout, stderr):  # a worker that is another user outside may open /dev/stdout, which leads here
        os.fchmod(fd, 0o622)
    if max(pipes) > limit - HEADROOM:
        for fd in pipes:
            os.close(fd)
        raise OSError(errno.EMFILE, f"{limit} descriptors are too few for one more worker")
    return pipes


async def capture(fd: int, stream: Stream, writer: OutputWriter) -> None:
    """Read a non-blocking descriptor until its end. It stays open; one task for each."""
    turns = 0
    while True:
        try:
            chunk = os.read(fd, READ_BYTES)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(fd)
            turns = 0
            continue
        if not chunk:
            break
        writer.feed(stream, chunk)
        turns += 1
        if turns == CHUNKS_A_TURN:
            await trio.lowlevel.checkpoint()
            turns = 0
    writer.flush(stream)
