import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from supervisor.runtime import output
from supervisor.runtime.capture import capture
from supervisor.runtime.log_line import LIMIT_BYTES
from supervisor.runtime.output import OutputWriter, Stream
from supervisor.spec.model import Log
from supervisor.telemetry.bus import EventBus
from tests.runtime.log_files import stored, written


@pytest.fixture
def bus() -> EventBus:
    return EventBus("info")


@pytest.fixture
def writer(tmp_path: Path, bus: EventBus) -> Iterator[OutputWriter]:
    one = OutputWriter("web-0", str(tmp_path / "logs"), Log(), bus)
    one.begin(1)
    yield one
    one.close()


CHUNKS = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]),
        st.binary(max_size=200)
        | st.text(max_size=60).map(str.encode)
        | st.sampled_from(
            [b"\n", b"line\n", b"no end", b"x" * LIMIT_BYTES, b'"' * (LIMIT_BYTES + 1), b"\xff" * 60_000]
        ),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(CHUNKS, st.integers(4096, 20_000))
def test_the_files_hold_exactly_what_was_written_in_order(chunks: list[tuple[Stream, bytes]], max_size: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        one = OutputWriter("web", directory, Log(max_size_bytes=max_size, keep=1000), EventBus())
        sent: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        for incarnation in (1, 2):
            one.begin(incarnation)
            for stream, chunk in chunks:
                one.feed(stream, chunk)
                sent[stream] += chunk
        one.close()
        for stream, data in sent.items():
            assert written(Path(directory), stream) == data
        assert [line.i for line in stored(Path(directory))] == sorted(line.i for line in stored(Path(directory)))
        assert one.read_bytes == sum(map(len, sent.values()))
        assert one.unwritten.bytes == 0
        assert one.lost_bytes == 0


def test_streams_do_not_mix_within_a_line(writer: OutputWriter, tmp_path: Path) -> None:
    writer.feed("stdout", b"one ")
    writer.feed("stderr", b"two ")
    writer.feed("stdout", b"line\n")
    writer.feed("stderr", b"lines\n")
    assert [(line.s, line.m, line.p) for line in stored(tmp_path / "logs")] == [
        ("stdout", "one line", False),
        ("stderr", "two lines", False),
    ]


def test_lines_carry_their_incarnation(writer: OutputWriter, tmp_path: Path) -> None:
    writer.feed("stdout", b"first\nunfinished")
    writer.begin(2)
    writer.feed("stdout", b"second\n")
    assert [(line.i, line.m, line.p) for line in stored(tmp_path / "logs")] == [
        (1, "first", False),
        (1, "unfinished", True),
        (2, "second", False),
    ]


def test_one_write_for_a_chunk(writer: OutputWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    real = os.writev

    def counting(fd: int, parts: Sequence[bytes | memoryview]) -> int:
        sizes.append(sum(map(len, parts)))
        return real(fd, parts)

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", counting)
        writer.feed("stdout", b"line\n" * 1000 + b"\xff\nend\n")
    assert len(sizes) == 1


def test_tail_is_of_this_incarnation_and_bounded(writer: OutputWriter) -> None:
    assert writer.tail() == ()
    for number in range(50):
        writer.feed("stderr", b"line %d\n" % number)
    writer.feed("stderr", b"\xff unfinished")
    assert writer.tail()[-2:] == ("line 49", "\\xff unfinished")
    assert len(writer.tail()) == 20
    assert writer.tail("stderr", 2) == ("line 49", "\\xff unfinished")
    assert writer.tail("stderr", 0) == ()
    assert writer.tail("stdout") == ()
    writer.feed("stderr", b"x" * 100_000 + b"\nlast\n")
    assert writer.tail() == ("last",)  # the long line is not there from its beginning
    writer.feed("stderr", b"y" * 100_000)
    assert [len(line) for line in writer.tail()] == [output.TAIL_BYTES]
    writer.begin(2)
    assert writer.tail() == ()


def test_the_null_sink_keeps_only_the_tail(tmp_path: Path, bus: EventBus) -> None:
    one = OutputWriter("web", str(tmp_path / "logs"), Log(sink="null"), bus)
    one.feed("stderr", b"said\n")
    one.close()
    assert one.path is None
    assert one.tail() == ("said",)
    assert not (tmp_path / "logs").exists()


def test_another_configuration_takes_over_between_lines(writer: OutputWriter, tmp_path: Path) -> None:
    writer.feed("stdout", b"begun ")
    writer.configure(Log(max_size_bytes=4096, keep=1))
    writer.feed("stdout", b"and ended\n" + b"x" * 40 + b"\n" * 200)
    assert (tmp_path / "logs" / "web-0.log.1").exists()
    writer.configure(Log(sink="null"))
    writer.feed("stdout", b"gone\n")
    assert b"gone\n" not in written(tmp_path / "logs", "stdout")


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reader, end = os.pipe()
    os.set_blocking(reader, False)
    try:
        yield reader, end
    finally:
        os.close(reader)
        os.close(end)


def start(command: list[str], **streams: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, **streams)  # type: ignore[call-overload,no-any-return]


async def test_capture_of_a_real_process_until_its_end(writer: OutputWriter, tmp_path: Path) -> None:
    program = (
        "import os\nfor n in range(30000): os.write(1 + n % 2, b'line %d \\xe2\\x82\\xac\\n' % n)\nos.write(1, b'end')"
    )
    descriptors = [os.pipe(), os.pipe()]
    process = start([sys.executable, "-c", program], stdout=descriptors[0][1], stderr=descriptors[1][1])
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for reader, end in descriptors:
                os.close(end)
                os.set_blocking(reader, False)
            nursery.start_soon(capture, descriptors[0][0], "stdout", writer)
            nursery.start_soon(capture, descriptors[1][0], "stderr", writer)
    for reader, _end in descriptors:
        os.close(reader)
    assert process.wait() == 0
    lines = [b"line %d \xe2\x82\xac\n" % number for number in range(30000)]
    assert written(tmp_path / "logs", "stdout") == b"".join(lines[0::2]) + b"end"
    assert written(tmp_path / "logs", "stderr") == b"".join(lines[1::2])


async def test_capture_lets_others_run_while_there_is_always_more(writer: OutputWriter) -> None:
    writer.configure(Log(sink="null"))
    spew = start([sys.executable, "-c", "import os\nwhile True: os.write(1, b'x' * 65536)"], stdout=subprocess.PIPE)
    assert spew.stdout is not None
    os.set_blocking(spew.stdout.fileno(), False)
    longest_s = 0.0
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture, spew.stdout.fileno(), "stdout", writer)
            for _ in range(50):
                before = trio.current_time()
                await trio.sleep(0.001)
                longest_s = max(longest_s, trio.current_time() - before)
            nursery.cancel_scope.cancel()
    spew.kill()
    spew.wait()
    spew.stdout.close()
    assert writer.read_bytes > 1_000_000
    assert longest_s < 1


async def test_a_cancelled_capture_loses_nothing(writer: OutputWriter, tmp_path: Path) -> None:
    with pipe() as (reader, end):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture, reader, "stdout", writer)
            os.write(end, b"half a ")
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        os.write(end, b"line\n")
        with trio.move_on_after(0.01):
            await capture(reader, "stdout", writer)
        writer.flush("stdout")
    assert written(tmp_path / "logs", "stdout") == b"half a line\n"
