"""The tasks that read what one incarnation writes, and the wait for their end."""

import os

import trio

from supervisor.runtime.capture import capture
from supervisor.runtime.output import OutputWriter, Stream

DRAIN_S = 1.0  # after the exit, for output that a process outside the sandbox may hold open


def read_output(stdout: int, stderr: int, writer: OutputWriter, nursery: trio.Nursery) -> list[trio.Event]:
    """Start reading both: an event for each, set when it is read to its end."""
    ends = []
    streams: tuple[tuple[int, Stream], ...] = ((stdout, "stdout"), (stderr, "stderr"))
    for fd, stream in streams:
        os.set_blocking(fd, False)
        ends.append(trio.Event())
        nursery.start_soon(_read, fd, stream, writer, ends[-1])
    return ends


async def _read(fd: int, stream: Stream, writer: OutputWriter, end: trio.Event) -> None:
    try:
        await capture(fd, stream, writer)
    finally:
        writer.flush(stream)
        end.set()


async def drained(ends: list[trio.Event]) -> None:
    """Wait until all is read, DRAIN_S at most."""
    with trio.move_on_after(DRAIN_S):
        for end in ends:
            await end.wait()
