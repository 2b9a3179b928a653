"""Worker output into the journal: every line an entry with fields of its own."""

import time
from collections.abc import Callable

from supervisor.runtime.log_line import Buffer, LogLine, decode
from supervisor.telemetry.journal import PRIORITIES, SOCKET, JournalSocket, encode_field

PRIORITY = {"stdout": PRIORITIES["info"], "stderr": PRIORITIES["error"]}  # as of conmon and docker
STALLED_S = 5.0  # a journald that takes nothing for so long costs lines
TURN_LINES = 200  # sent at once by the event loop, some 10 µs each


class JournalSink:
    """Takes the lines of a log file in that file's place, and sends them to journald.

    journald's queue may be full: then a thread of the log's sends the rest and waits for room, and the worker is held
    up (or its lines dropped, when_full) as by a slow file.
    """

    def __init__(self, worker: str, instance: str, may_wait: Callable[[], bool], path: str = SOCKET) -> None:
        """may_wait: whether this is not the event loop."""
        self.path = path
        self.error: OSError | None = None  # of the last write
        self._journal = JournalSocket(path)
        self._may_wait = may_wait
        self._stalled_s = STALLED_S
        self._about = b"".join(
            encode_field(name, value.encode())
            for name, value in (
                ("SYSLOG_IDENTIFIER", instance),
                ("NSVISOR_WORKER", worker),
                ("NSVISOR_INSTANCE", instance),
            )
        )

    def write(self, *parts: Buffer) -> int:
        """Send whole lines. Returns how many bytes of them went, always up to a line end.

        Where that is less than all, `error` says why: EAGAIN for what is to be tried again where waiting is possible;
        ENOENT and ECONNREFUSED without a journald.
        """
        self.error = None
        block = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        waits = self._may_wait()
        done = sent = 0
        try:
            while done < len(block):
                if sent == TURN_LINES and not waits:
                    raise BlockingIOError
                end = block.index(b"\n", done) + 1
                self._send(self._entry(decode(block[done:end])), waits=waits)
                done = end
                sent += 1
        except OSError as error:
            self.error = error
        return done

    def close(self) -> None:
        """Close the connection. The next line opens it again."""
        self._journal.close()

    def _entry(self, line: LogLine) -> bytes:
        fields = b"PRIORITY=%d\nNSVISOR_STREAM=%s\nNSVISOR_INCARNATION=%d\n%s" % (
            PRIORITY[line.s],
            line.s.encode(),
            line.i,
            b"NSVISOR_PARTIAL=true\n" if line.p else b"",
        )
        return b"".join((self._about, fields, encode_field("MESSAGE", line.raw().removesuffix(b"\n"))))

    def _send(self, entry: bytes, *, waits: bool) -> None:
        deadline = None
        while True:
            try:
                self._journal.send(entry)
            except BlockingIOError:
                if not waits:
                    raise
                now = time.monotonic()
                deadline = now + self._stalled_s if deadline is None else deadline
                if now >= deadline:
                    self._stalled_s = 0.0
                    raise
                self._journal.poll(min(1000, int(1000 * (deadline - now)) + 1))
            else:
                self._stalled_s = STALLED_S
                return
