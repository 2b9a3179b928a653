"""A worker's standard output and error, as they were read from its pipes, kept as lines of a log file.

Whatever becomes of the file, the pipe is read on: a full disk costs lines, which are counted, and blocks no worker.
A file that is only slow, or a rate limit that is reached, does block it, unless its log says when_full = "drop".
"""

import os
import time
from collections.abc import Callable
from typing import Literal

import trio

from supervisor.runtime.journal_sink import JournalSink
from supervisor.runtime.log_file import LogFile
from supervisor.runtime.log_line import Encoder, encode_piece, head
from supervisor.runtime.log_sink import LogSink
from supervisor.runtime.losses import Losses, StartSoon
from supervisor.runtime.rate import Rate
from supervisor.runtime.unwritten import Unwritten
from supervisor.spec.model import Log
from supervisor.telemetry.bus import EventBus

Stream = Literal["stdout", "stderr"]
STREAMS: tuple[Stream, ...] = ("stdout", "stderr")
Tail = tuple[bytes, bool]  # the last TAIL_BYTES of a stream, and whether there was more

TAIL_BYTES = 8 * 1024
TAIL_LINES = 20
LAST_WORDS_BYTES = 512 * 1024  # of an incarnation that has ended: what its two pipes may hold


class _Source:
    """What is remembered of one stream."""

    def __init__(self) -> None:
        self.lines = Encoder()
        self.tail = b""
        self.tail_is_cut = False


class OutputWriter:
    """One instance's log. feed() never raises: what cannot be kept is counted and reported as an event."""

    def __init__(
        self,
        instance: str,
        directory: str,
        log: Log,
        bus: EventBus,
        start_soon: StartSoon | None = None,
        worker: str | None = None,
        unwritten: Unwritten | None = None,
    ) -> None:
        """start_soon: of a nursery that lives as long as the daemon, for what a slow file needs. worker: its name.

        unwritten: where the next daemon sees what this one had read and not yet written.
        """
        self.instance = instance
        self.worker = worker or instance
        self.incarnation = 0
        self.read_bytes = 0  # over the writer's life, as what was lost
        self._directory = directory
        self._bus = bus
        self.unwritten = unwritten or Unwritten()
        self._losses = Losses(self._publish, start_soon, self.unwritten.settle)
        self._sink = LogSink(self._losses, self._publish, start_soon, self.unwritten.settle)
        self._sources: dict[Stream, _Source] = {"stdout": _Source(), "stderr": _Source()}
        self.observer: Callable[[Stream, bytes], None] | None = None  # sees each chunk, too
        self._rate: Rate | None = None
        self._drops = False
        self._held = False
        self._last_words_bytes = 0  # that may come beyond what the queue and the rate allow
        self.configure(log)

    @property
    def lost_lines(self) -> int:
        """Lines that could not be kept."""
        return self._losses.lines

    @property
    def lost_bytes(self) -> int:
        """Their bytes."""
        return self._losses.bytes

    @property
    def path(self) -> str | None:
        """The log file, if there is one."""
        return self._sink.file.path if isinstance(self._sink.file, LogFile) else None

    def configure(self, log: Log) -> None:
        """Follow another [worker.NAME.log] from the next line on."""
        if log.sink == "null":
            self.flush("stdout")
            self.flush("stderr")
        file: LogFile | JournalSink | None = None
        if log.sink == "journald":
            file = JournalSink(self.worker, self.instance, lambda: self._sink.is_flushing)
        if log.sink == "file":
            path = os.path.join(self._directory, f"{self.instance}.log")
            file = LogFile(path, log.max_size_bytes, log.keep, self._sink.publish, log.max_age_s)
        self._sink.replace(file)
        self._drops = log.when_full == "drop"
        self._rate = Rate(log.rate_limit_bytes) if log.rate_limit_bytes is not None else None

    def begin(self, incarnation: int) -> None:
        """What is fed from now on is this incarnation's."""
        self.flush("stdout")
        self.flush("stderr")
        self.incarnation = incarnation
        self._last_words_bytes = 0
        for source in self._sources.values():
            source.tail, source.tail_is_cut = b"", False

    def feed(self, stream: Stream, chunk: bytes) -> None:
        """Keep what was read from this stream. A line is written once its end was read."""
        source = self._sources[stream]
        size_bytes = len(chunk)
        self.read_bytes += size_bytes
        self.unwritten.add(size_bytes)
        if self.observer is not None:
            self.observer(stream, chunk)
        tail = chunk if size_bytes >= TAIL_BYTES else source.tail + chunk
        if len(tail) > TAIL_BYTES:
            source.tail_is_cut = True
            tail = tail[-TAIL_BYTES:]
        source.tail = tail
        if self._sink.file is None:
            self.unwritten.settle(size_bytes)
            self.unwritten.note_line_end(stream, cut=False)
            return
        self.unwritten.note_line_end(stream, cut=not chunk.endswith(b"\n"))
        if self._drops and self._is_over and not self._last_words_bytes:
            self._losses.drop("slow" if self._sink.is_full else "rate", *source.lines.skip(chunk))
            return
        self._last_words_bytes = max(0, self._last_words_bytes - size_bytes)
        if self._rate is not None:
            self._rate.take(size_bytes)
        parts, raw_bytes = source.lines.feed(head(time.time(), stream, self.incarnation), chunk)
        if parts:
            self._sink.write(parts, raw_bytes)

    @property
    def _is_over(self) -> bool:
        return self._sink.is_full or (self._rate is not None and self._rate.wait_s() > 0)

    @property
    def is_full(self) -> bool:
        """Whether to wait for room() before more is read."""
        return self._held or (not self._drops and not self._last_words_bytes and self._is_over)

    async def room(self) -> None:
        """Wait until more may be fed."""
        while self.is_full:
            waits_for_rate = self._rate is not None and not self._sink.is_full and not self._held
            wait_s = self._rate.wait_s() if self._rate is not None and waits_for_rate else None
            with trio.move_on_after(float("inf") if wait_s is None else wait_s):
                await self._sink.waiters.park()

    def hurry(self) -> None:
        """The incarnation has ended: what its pipes hold is taken, whatever the queue and the rate say."""
        self._last_words_bytes = LAST_WORDS_BYTES
        self._sink.waiters.unpark_all()

    def leave_unread(self, size_bytes: int) -> None:
        """So much was still in its pipes when they were closed."""
        if size_bytes and self._sink.file is not None:
            self.unwritten.add(size_bytes)
            self._losses.drop("unread", 0, size_bytes)

    def tell_left(self, incarnation: int) -> None:
        """Say what an earlier daemon, which was killed, had read and may not have written."""
        about = {"worker": self.worker, "instance": self.instance, "incarnation": incarnation, "path": self.path}
        self.unwritten.tell_left(self._bus, **about)

    def flush(self, stream: Stream) -> None:
        """The stream has ended: keep what waited for its line end, as a piece."""
        rest = self._sources[stream].lines.flush()
        self.unwritten.note_line_end(stream, cut=False)
        if rest:
            self._sink.write((encode_piece(head(time.time(), stream, self.incarnation), rest),), len(rest))

    def tail(self, stream: Stream = "stderr", n: int = TAIL_LINES) -> tuple[str, ...]:
        """The last lines of this incarnation, at most TAIL_BYTES of them, whatever the sink."""
        source = self._sources[stream]
        lines = source.tail.removesuffix(b"\n").split(b"\n") if source.tail else []
        if source.tail_is_cut and len(lines) > 1:
            del lines[0]
        return tuple(line.decode(errors="backslashreplace") for line in lines[max(0, len(lines) - n) :])

    def unfinished(self, stream: Stream) -> bytes:
        """What was read of a stream after its last line end."""
        return self._sources[stream].tail.rpartition(b"\n")[2]

    def hold(self) -> None:
        """Have nothing more read, but for the chunk that somebody is about to feed."""
        self._held = True

    def go_on(self) -> None:
        """Have it read again."""
        self._held = False
        self._sink.waiters.unpark_all()

    @property
    def is_written(self) -> bool:
        """Whether no thread is writing what was fed."""
        return not self._sink.is_flushing

    def hand_over(self) -> dict[Stream, Tail]:
        """Write and tell all that is left; the tails are for this daemon's next program. Later writes go on."""
        self.close()
        self._losses.tell()
        return {stream: (one.tail, one.tail_is_cut) for stream, one in self._sources.items() if one.tail}

    def take_over(self, tails: dict[Stream, Tail]) -> None:
        """Go on after hand_over()."""
        for stream, (tail, is_cut) in tails.items():
            source = self._sources[stream]
            source.tail, source.tail_is_cut = tail, is_cut

    def close(self) -> None:
        """Keep what is left and close the file. Later writes open it again."""
        self.flush("stdout")
        self.flush("stderr")
        self._sink.close()

    def _publish(self, event: str, level: str, **fields: object) -> None:
        if event == "log.dropped":
            fields.setdefault("path", self.path)
        self._bus.publish(event, level, instance=self.instance, incarnation=self.incarnation, **fields)
