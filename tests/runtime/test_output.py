import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from supervisor.runtime import output
from supervisor.runtime.log_line import LIMIT_BYTES, LogLine, decode
from supervisor.runtime.output import OutputWriter, Stream, capture, drain
from supervisor.spec.model import Log
from supervisor.telemetry.bus import EventBus
from tests.accounts import Account, me


def stored(directory: Path) -> list[LogLine]:
    """All lines, the oldest file first."""
    names = sorted((path.name for path in directory.iterdir()), key=lambda name: -int(name.partition("log.")[2] or 0))
    return [decode(line) for name in names for line in (directory / name).read_bytes().split(b"\n")[:-1]]


def written(directory: Path, stream: Stream) -> bytes:
    return b"".join(line.raw() for line in stored(directory) if line.s == stream)


def events(bus: EventBus) -> list[tuple[str, dict[str, object]]]:
    return [(record.event, record.fields) for record in bus._kept]


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
    real = os.write

    def counting(fd: int, data: bytes) -> int:
        sizes.append(len(data))
        return real(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", counting)
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


async def test_drain_reads_what_is_left_then_stops_at_the_end(writer: OutputWriter, tmp_path: Path) -> None:
    reader, end = os.pipe()
    os.set_blocking(reader, False)
    os.write(end, b"last words\nand a half")
    os.close(end)
    with trio.fail_after(5):
        assert await drain(reader, "stderr", writer, 60)
    os.close(reader)
    assert written(tmp_path / "logs", "stderr") == b"last words\nand a half"


async def test_drain_does_not_wait_for_a_grandchild_that_holds_the_pipe(writer: OutputWriter, tmp_path: Path) -> None:
    with pipe() as (reader, end):
        os.write(end, b"last words\nhalf")
        before = trio.current_time()
        assert not await drain(reader, "stderr", writer, 0.1)
        assert 0.1 <= trio.current_time() - before < 2
        assert written(tmp_path / "logs", "stderr") == b"last words\nhalf"


async def test_drain_is_bounded_even_if_the_grandchild_never_stops_writing(writer: OutputWriter) -> None:
    with start(["yes"], stdout=subprocess.PIPE) as spew:
        assert spew.stdout is not None
        os.set_blocking(spew.stdout.fileno(), False)
        before = trio.current_time()
        assert not await drain(spew.stdout.fileno(), "stdout", writer, 0.1)
        assert trio.current_time() - before < 2
        spew.kill()


async def test_a_cancelled_capture_loses_nothing(writer: OutputWriter, tmp_path: Path) -> None:
    with pipe() as (reader, end):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture, reader, "stdout", writer)
            os.write(end, b"half a ")
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        os.write(end, b"line\n")
        await drain(reader, "stdout", writer, 0.01)
    assert written(tmp_path / "logs", "stdout") == b"half a line\n"


# Runs in a mount namespace of its own, on a tmpfs of 64 KiB: as root as it is, else in a user namespace too.
FULL_DISK = """
import json, os, sys
from supervisor.runtime import output
from supervisor.runtime.log_line import decode
from supervisor.runtime.output import OutputWriter
from supervisor.spec.model import Log
from supervisor.telemetry.bus import EventBus

disk = sys.argv[1]
output.RECOVERED_AFTER_S = 0.0
bus = EventBus()
writer = OutputWriter("web", disk + "/logs", Log(), bus)
writer.begin(1)
sent = [b"line %05d \\xc3\\xa9\\n" % number for number in range(3000)]
writer.feed("stdout", b"".join(sent[:100]))
filler = os.open(disk + "/filler", os.O_WRONLY | os.O_CREAT)
room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
os.write(filler, bytes(room - 8192))
writer.feed("stdout", b"".join(sent[100:2000]))       # fits in part
for number in range(2000, 2990):
    writer.feed("stdout", sent[number])
os.ftruncate(filler, 0)
writer.feed("stdout", b"".join(sent[2990:]))
writer.close()
lines = open(disk + "/logs/web.log", "rb").read().split(b"\\n")
kept = [decode(line).raw() for line in lines[:-1]]
print(json.dumps({
    "last": lines[-1].decode(),
    "ordered": kept == [line for line in sent if line in set(kept)],
    "kept": len(kept),
    "first": kept[:100] == sent[:100],
    "end": kept[-10:] == sent[2990:],
    "lost_lines": writer.lost_lines,
    "lost_bytes": writer.lost_bytes,
    "missing_bytes": sum(map(len, sent)) - sum(map(len, kept)),
    "events": [[record.event, record.fields] for record in bus._kept],
}))
"""


def on_small_disk(program: str, directory: Path, account: Account, python: Path) -> dict[str, object]:
    """Run it as this user with a mounted tmpfs as its argument."""
    disk = account.owns(directory)
    namespaces = ["--mount"] if account.uid == 0 else ["--user", "--map-root-user", "--mount"]
    script = f'mount -t tmpfs -o size=64k,mode=700 tmpfs "{disk}" && exec "{python}" -W error -c "$0" "{disk}"'
    done = subprocess.run(
        ["unshare", *namespaces, "sh", "-c", script, program],
        check=False,
        capture_output=True,
        cwd="/",
        timeout=60,
        **account.identity(),  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stderr.decode()
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("privileged", [False, True])
def test_a_full_disk_costs_lines_that_are_counted_and_nothing_else(
    privileged: bool, unprivileged: Account, program_bin: Path
) -> None:
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)  # noqa: S103 the other user has to get in
        disk = Path(top) / "disk"
        disk.mkdir()
        found = on_small_disk(FULL_DISK, disk, me() if privileged else unprivileged, program_bin / "python")
    assert found["last"] == ""
    assert found["first"]
    assert found["end"]
    assert found["ordered"]
    assert isinstance(found["kept"], int)
    assert 110 < found["kept"] < 3000
    assert found["lost_lines"] == 3000 - found["kept"]
    assert found["lost_bytes"] == found["missing_bytes"]
    assert isinstance(found["events"], list)
    names = [name for name, _fields in found["events"]]
    assert names[0] == "log.failed"
    assert names[-1] == "log.recovered"
    failed = found["events"][0][1]
    assert failed["errno"] == "ENOSPC"
    assert (failed["instance"], failed["incarnation"]) == ("web", 1)
    assert (
        sum(fields["lost_lines"] for name, fields in found["events"] if name == "log.recovered") == found["lost_lines"]
    )


def test_one_event_for_a_failure_that_lasts(tmp_path: Path, bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "logs"
    path.write_bytes(b"in the way of the directory")
    one = OutputWriter("web", str(path), Log(), bus)
    one.begin(3)
    for _ in range(100):
        one.feed("stdout", b"lost\n")
    assert [event for event, _ in events(bus)] == ["log.failed"]
    path.unlink()
    one.feed("stdout", b"kept\n")
    assert [event for event, _ in events(bus)] == ["log.failed"]  # not trusted yet
    monkeypatch.setattr(output, "RECOVERED_AFTER_S", 0.0)
    one.feed("stdout", b"kept\n")
    name, fields = events(bus)[-1]
    assert name == "log.recovered"
    assert (fields["lost_lines"], fields["lost_bytes"]) == (100, 500)
    assert written(path, "stdout") == b"kept\nkept\n"
    one.close()
    assert len(events(bus)) == 2


def test_what_was_never_recovered_is_said_at_the_end(tmp_path: Path, bus: EventBus) -> None:
    path = tmp_path / "logs"
    path.write_bytes(b"")
    one = OutputWriter("web", str(path), Log(), bus)
    one.feed("stdout", b"lost\nlost too")
    one.close()
    assert [event for event, _ in events(bus)] == ["log.failed", "log.dropped"]
    assert events(bus)[-1][1]["lost_bytes"] == len(b"lost\nlost too")


def test_no_descriptor_left_for_the_log(writer: OutputWriter, bus: EventBus, tmp_path: Path) -> None:
    import resource  # noqa: PLC0415

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    taken = [os.dup(0) for _ in range(8)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(taken) + 1, soft), hard))
    try:
        filling: list[int] = []
        try:
            while True:
                filling.append(os.dup(0))
        except OSError:
            pass
        writer.feed("stdout", b"lost\n")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in [*taken, *filling]:
            os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == used
    assert events(bus)[0][1]["errno"] == "EMFILE"
    writer.feed("stdout", b"kept\n")
    assert written(tmp_path / "logs", "stdout") == b"kept\n"
