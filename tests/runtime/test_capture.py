"""Reading pipes: how large they get, how much is held in memory, and what full means."""

import fcntl
import os
import resource
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervisor.runtime import capture, log_sink
from supervisor.runtime.output import OutputWriter, Stream
from supervisor.spec.model import Log
from supervisor.telemetry.bus import EventBus
from tests.runtime.log_files import events, stored, written


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """A non-blocking reading end, and a writing end that a thread may block on."""
    reader, end = os.pipe()
    os.set_blocking(reader, False)
    try:
        yield reader, end
    finally:
        os.close(reader)


def pour(end: int, data: Sequence[bytes]) -> threading.Thread:
    """Write all of it in a thread, then close the end."""

    def run() -> None:
        for block in data:
            at = 0
            while at < len(block):
                at += os.write(end, block[at:])
        os.close(end)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def pipe_size(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)


def numbered(count: int, size: int = 100) -> list[bytes]:
    return [b"%0*d\n" % (size - 1, number) for number in range(count)]


async def test_a_pipe_is_large_while_it_is_filled_faster_than_it_is_read(tmp_path: Path) -> None:
    writer = OutputWriter("web", str(tmp_path), Log(), EventBus())
    sizes = []
    lines = numbered(40_000)
    with pipe() as (reader, end):
        writer_feed = writer.feed

        def feed(stream: Stream, chunk: bytes) -> None:
            sizes.append(pipe_size(reader))
            writer_feed(stream, chunk)

        writer.feed = feed  # type: ignore[method-assign]
        thread = pour(end, [b"".join(lines)])
        with trio.fail_after(20):
            while capture.unread_bytes(reader) < capture.READ_BYTES // 2:  # noqa: ASYNC110
                await trio.sleep(0.001)
            await capture.capture(reader, "stdout", writer)
        thread.join()
        assert pipe_size(reader) == capture.READ_BYTES
    assert capture.FLOOD_BYTES in sizes
    assert capture._Pipe.large == 0
    writer.close()
    assert written(tmp_path, "stdout") == b"".join(lines)


async def test_no_more_large_pipes_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "MOST_LARGE", 1)
    with pipe() as (one, one_end), pipe() as (other, other_end):
        pipes = [capture._Pipe(one), capture._Pipe(other)]
        for _ in range(10):
            for each in pipes:
                each.fit(capture.READ_BYTES)
        assert [pipe_size(one), pipe_size(other)] == [capture.FLOOD_BYTES, capture.READ_BYTES]
        pipes[0].fit(100)  # calm again
        pipes[1].fit(capture.READ_BYTES)
        assert [pipe_size(one), pipe_size(other)] == [capture.READ_BYTES, capture.FLOOD_BYTES]
        pipes[1].shrink()
        os.close(one_end)
        os.close(other_end)
    assert capture._Pipe.large == 0


async def test_memory_is_bounded_whatever_the_length_of_a_line(tmp_path: Path) -> None:
    block, count = b"x" * (1 << 20), 100
    writer = OutputWriter("web", str(tmp_path), Log(max_size_bytes=1 << 20, keep=1), EventBus())
    with pipe() as (reader, end):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        thread = pour(end, [block] * count)
        with trio.fail_after(30):
            await capture.capture(reader, "stdout", writer)
        thread.join()
    writer.close()
    assert writer.read_bytes == count << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024  # KiB
    assert {len(line.m) for line in stored(tmp_path)[:-1]} == {48 * 1024}


class SlowDisk:
    """os.writev that waits for leave, from the second write on; the first is only slow."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.leave = threading.Semaphore(0)
        self.threads: list[int] = []
        self._real = os.writev
        monkeypatch.setattr(os, "writev", self._writev)

    def _writev(self, fd: int, parts: Sequence[bytes | memoryview]) -> int:
        self.threads.append(threading.get_ident())
        if len(self.threads) == 1:
            time.sleep(2 * log_sink.SLOW_S)
        elif threading.get_ident() != threading.main_thread().ident:
            assert self.leave.acquire(timeout=20)
        return self._real(fd, parts)


async def test_a_slow_file_blocks_its_worker_and_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(monkeypatch)
    lines = numbered(50_000)
    bus = EventBus()
    with pipe() as (reader, end):
        async with trio.open_nursery() as nursery:
            writer = OutputWriter("web", str(tmp_path), Log(), bus, nursery.start_soon)
            nursery.start_soon(capture.capture, reader, "stdout", writer)
            thread = pour(end, [b"".join(lines)])
            with trio.fail_after(20):
                while not writer.is_full:  # noqa: ASYNC110
                    await trio.sleep(0.001)
                for _ in range(50):  # others go on
                    await trio.sleep(0.001)
            left = thread.is_alive(), writer.read_bytes
            disk.leave.release(1000)
        thread.join()
    writer.close()
    assert left[0]
    assert left[1] < 3 * log_sink.QUEUE_BYTES
    assert written(tmp_path, "stdout") == b"".join(lines)
    assert writer.lost_bytes == 0
    assert [name for name, _ in events(bus)] == []
    assert disk.threads[0] == threading.get_ident()
    assert threading.get_ident() not in disk.threads[1:]


async def test_a_slow_file_costs_lines_where_they_may_be_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SlowDisk(monkeypatch)
    lines = numbered(50_000)
    bus = EventBus()
    with pipe() as (reader, end), trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            writer = OutputWriter("web", str(tmp_path), Log(when_full="drop"), bus, nursery.start_soon)
            thread = pour(end, [b"".join(lines)])
            await capture.capture(reader, "stdout", writer)  # to its end, with the disk asleep
            thread.join()
            disk.leave.release(1000)
            await wait_all_tasks_blocked(0.05)
            nursery.cancel_scope.cancel()
    writer.close()
    kept = written(tmp_path, "stdout").splitlines(keepends=True)
    assert kept == sorted(set(kept))
    assert set(kept) <= set(lines)
    assert 0 < writer.lost_lines == len(lines) - len(kept)
    assert writer.lost_bytes == 100 * writer.lost_lines
    told = [fields for name, fields in events(bus) if name == "log.dropped"]
    assert {fields["reason"] for fields in told} == {"slow"}
    assert sum(fields["lost_lines"] for fields in told) == writer.lost_lines  # type: ignore[misc]
    assert len(told) <= 2


def test_what_waits_is_written_when_the_daemon_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SlowDisk(monkeypatch)
    disk.leave.release(1000)

    async def main() -> OutputWriter:
        async with trio.open_nursery() as nursery:
            writer = OutputWriter("web", str(tmp_path), Log(), EventBus(), nursery.start_soon)
            for line in numbered(100):
                writer.feed("stdout", line)
            writer.feed("stdout", b"end")
            writer.close()  # while all but one of them wait
            nursery.cancel_scope.cancel()
        return writer

    writer = trio.run(main)
    assert writer.lost_bytes == 0
    assert written(tmp_path, "stdout") == b"".join(numbered(100)) + b"end"


async def test_a_rate_limit_blocks(tmp_path: Path) -> None:
    lines = numbered(2_000)
    writer = OutputWriter("web", str(tmp_path), Log(rate_limit_bytes=128 * 1024), EventBus())
    with pipe() as (reader, end):
        thread = pour(end, [b"".join(lines)])  # 200 kB: a second's worth at once, the rest takes half a second
        start = time.monotonic()
        with trio.fail_after(20):
            await capture.capture(reader, "stdout", writer)
        thread.join()
    writer.close()
    assert time.monotonic() - start > 0.3
    assert written(tmp_path, "stdout") == b"".join(lines)
    assert writer.lost_lines == 0


async def test_last_words_do_not_wait_for_the_rate(tmp_path: Path) -> None:
    lines = numbered(1_000)
    writer = OutputWriter("web", str(tmp_path), Log(rate_limit_bytes=1024), EventBus())
    with pipe() as (reader, end):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture.capture, reader, "stdout", writer)
            thread = pour(end, lines)
            await wait_all_tasks_blocked(0.05)
            assert writer.is_full
            writer.hurry()
            with trio.fail_after(5):
                while writer.read_bytes < 100_000:  # noqa: ASYNC110
                    await trio.sleep(0.001)
        thread.join()
    writer.close()
    assert written(tmp_path, "stdout") == b"".join(lines)


def test_a_rate_limit_drops_whole_lines_and_counts_them(tmp_path: Path) -> None:
    bus = EventBus()
    writer = OutputWriter("web", str(tmp_path), Log(rate_limit_bytes=2048, when_full="drop"), bus)
    lines = numbered(1_000)
    data = b"".join(lines)
    for at in range(0, len(data), 333):  # lines are cut everywhere
        writer.feed("stdout", data[at : at + 333])
    writer.close()
    kept = written(tmp_path, "stdout").splitlines(keepends=True)
    assert 20 <= len(kept) < 100
    assert kept == lines[: len(kept)]
    assert writer.lost_lines == 1000 - len(kept)
    assert writer.lost_bytes == 100 * writer.lost_lines
    assert {(name, fields["reason"]) for name, fields in events(bus)} == {("log.dropped", "rate")}
    assert sum(fields["lost_lines"] for _, fields in events(bus)) == writer.lost_lines  # type: ignore[misc]


def test_what_is_left_in_the_pipes_is_told(tmp_path: Path) -> None:
    bus = EventBus()
    writer = OutputWriter("web", str(tmp_path), Log(), bus)
    with pipe() as (reader, end):
        os.write(end, b"x" * 77)
        writer.leave_unread(capture.unread_bytes(reader))
        os.close(end)
    assert [(name, fields["reason"], fields["lost_bytes"]) for name, fields in events(bus)] == [
        ("log.dropped", "unread", 77)
    ]
