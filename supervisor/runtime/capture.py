"""The pipes of a worker's standard output and error, and reading them to their end."""

import array
import errno
import fcntl
import os
import resource
import termios
from contextlib import suppress

import trio

from supervisor.kernel.malloc import keep_freed
from supervisor.runtime.output import OutputWriter, Stream

READ_BYTES = 64 * 1024  # what a pipe holds
FLOOD_BYTES = 256 * 1024  # it holds while a worker writes faster than it is read
FILLED_BEFORE_LARGE = 4  # reads
MOST_LARGE = 64
TURN_BYTES = 512 * 1024  # of one stream, before other tasks get their turn
HEADROOM = 64  # descriptors that pipes leave for launches, clients and files


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
    pipe = _Pipe(fd)
    taken = 0
    try:
        while True:
            writer.unwritten.reading(stream, pipe.size_bytes)  # a daemon killed from here on has read it, or not
            try:
                chunk = os.read(fd, pipe.size_bytes)
            except BlockingIOError:
                writer.unwritten.nothing_read()
                taken = 0
                await trio.lowlevel.wait_readable(fd)
                continue
            if not chunk:
                writer.unwritten.nothing_read()
                break
            writer.feed(stream, chunk)
            size_bytes = len(chunk)
            del chunk  # else each waiting task keeps its own, and what the next ones are read into is in no CPU's cache
            if writer.is_full:
                await writer.room()
            pipe.fit(size_bytes)
            taken += size_bytes
            if taken >= TURN_BYTES:
                await trio.lowlevel.checkpoint()
                taken = 0
        writer.flush(stream)
    finally:
        pipe.shrink()


class _Pipe:
    """A pipe that holds more for as long as it is filled faster than it is read.

    An ordinary user's pipes share fs.pipe-user-pages-soft (64 MiB), and beyond that new ones hold a page or two: only
    so many of ours are large at a time.
    """

    large = 0  # of all

    def __init__(self, fd: int) -> None:
        self.size_bytes = READ_BYTES
        self._fd = fd
        self._filled = 0  # times in a row

    def fit(self, read_bytes: int) -> None:
        """Grow or shrink after a read. A pipe may be full and hold half: a write that does not fit gets new pages."""
        if read_bytes <= READ_BYTES // 2:
            self._filled = 0
            self.shrink()
        elif self.size_bytes == READ_BYTES:
            self._filled += 1
            if self._filled >= FILLED_BEFORE_LARGE and _Pipe.large < MOST_LARGE and self._resize(FLOOD_BYTES):
                self.size_bytes = FLOOD_BYTES
                _Pipe.large += 1
                keep_freed(16 * FLOOD_BYTES)  # chunks, and the lines that become of them

    def shrink(self) -> None:
        """Back to what it was."""
        if self.size_bytes != READ_BYTES:
            self._resize(READ_BYTES)
            self.size_bytes = READ_BYTES
            _Pipe.large -= 1

    def _resize(self, size_bytes: int) -> bool:
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, size_bytes)
        except OSError:  # EPERM: the user has too much in pipes; EBUSY: too full to shrink; EBADF: no pipe
            return False
        return True


def unread_bytes(fd: int) -> int:
    """What a pipe holds."""
    held = array.array("i", [0])
    with suppress(OSError):
        fcntl.ioctl(fd, termios.FIONREAD, held)
    return held[0]
