"""What a command inside gets as standard input, output and error: never a file of the host itself.

Who has a descriptor of a file can open it again by /proc/self/fd, for writing as well: a regular file is read and
written here, and the command gets a pipe. Pipes, sockets and terminals go in as they are.
"""

import errno
import os
import stat
from contextlib import suppress
from typing import Self

import trio

CHUNK_BYTES = 65536
DRAIN_S = 1.0  # after the command's end, for output that a process which it left behind may hold open


class Relay:
    """The three descriptors to be sent, as a context."""

    def __init__(self) -> None:
        self._theirs: list[int] = []
        self._pumps: list[tuple[int, int]] = []  # from, to
        self._outputs: list[trio.Event] = []
        self.stdio = (self._input(), *self._output_pair())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_theirs()
        for source, target in self._pumps:  # those that were never started
            os.close(source or target)

    def close_theirs(self) -> None:
        """Once they were sent."""
        for fd in self._theirs:
            os.close(fd)
        self._theirs = []

    def _input(self) -> int:
        if not _is_file(0):
            return 0
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(writer, False)
        self._theirs.append(reader)
        self._pumps.append((0, writer))
        return reader

    def _output_pair(self) -> tuple[int, int]:
        stdout = self._output(1)
        return stdout, stdout if stdout != 1 and _same(1, 2) else self._output(2)

    def _output(self, number: int) -> int:
        if not _is_file(number):
            return number
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reader, False)
        self._theirs.append(writer)
        self._pumps.append((reader, number))
        return writer

    def start(self, nursery: trio.Nursery) -> None:
        """Copy from now on."""
        for source, target in self._pumps:
            if source == 0:
                nursery.start_soon(_feed, target)
            else:
                end = trio.Event()
                self._outputs.append(end)
                nursery.start_soon(_collect, source, target, end)
        self._pumps = []

    async def drained(self) -> None:
        """Wait for the rest of the output, for no longer than DRAIN_S."""
        with trio.move_on_after(DRAIN_S):
            for end in self._outputs:
                await end.wait()


def _is_file(fd: int) -> bool:
    """Whether it is something that could be opened again, and is more than what flows through it."""
    mode = os.fstat(fd).st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISBLK(mode)


def _same(one: int, other: int) -> bool:
    """Whether two are one file: then one pipe keeps the order of what is written."""
    return os.path.samestat(os.fstat(one), os.fstat(other))


async def _feed(writer: int) -> None:
    try:
        while data := os.read(0, CHUNK_BYTES):
            while data:
                await trio.lowlevel.wait_writable(writer)
                with suppress(BlockingIOError):
                    data = data[os.write(writer, data) :]
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EISDIR):  # it reads no more; a directory has nothing to be read
            raise
    finally:
        trio.lowlevel.notify_closing(writer)
        os.close(writer)


async def _collect(reader: int, target: int, end: trio.Event) -> None:
    try:
        while True:
            await trio.lowlevel.wait_readable(reader)
            data = os.read(reader, CHUNK_BYTES)
            if not data:
                return
            while data:
                data = data[os.write(target, data) :]
    finally:
        os.close(reader)
        end.set()
