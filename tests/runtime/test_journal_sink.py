"""Lines of a worker as entries: what is sent, and what becomes of it when journald is busy, stuck or gone."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.runtime import journal_sink
from supervisor.runtime.journal_sink import TURN_LINES, JournalSink
from supervisor.runtime.log_line import LIMIT_BYTES, Encoder, encode_piece, head

Waits = list[bool]


def fields(entry: bytes) -> dict[str, bytes]:
    """Of one entry without line ends in its values."""
    return {name.decode(): value for name, _, value in (line.partition(b"=") for line in entry.split(b"\n")[:-1])}


def block(data: bytes, stream: str = "stdout", incarnation: int = 3) -> bytes:
    """As it comes to a log file."""
    return b"".join(Encoder().feed(head(1.5, stream, incarnation), data)[0])


@pytest.fixture
def address(tmp_path: Path) -> Path:
    return tmp_path / "socket"


@pytest.fixture
def listener(address: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(address))
        made.settimeout(10)
        yield made


@pytest.fixture
def waits() -> Waits:
    return [False]


@pytest.fixture
def sink(address: Path, waits: Waits) -> Iterator[JournalSink]:
    made = JournalSink("web", "web-0", lambda: waits[0], str(address))
    yield made
    made.close()


def test_fields_of_a_line(sink: JournalSink, listener: socket.socket) -> None:
    text = b'one = "\xe4\\"\n\n'
    assert sink.write(*Encoder().feed(head(1.5, "stderr", 17), text)[0]) > 0
    assert fields(listener.recv(65536)) == {
        "SYSLOG_IDENTIFIER": b"web-0",
        "NSVISOR_WORKER": b"web",
        "NSVISOR_INSTANCE": b"web-0",
        "NSVISOR_INCARNATION": b"17",
        "NSVISOR_STREAM": b"stderr",
        "PRIORITY": b"3",
        "MESSAGE": b'one = "\xe4\\"',
    }
    empty = fields(listener.recv(65536))
    assert empty["MESSAGE"] == b""
    sink.write(encode_piece(head(1.5, "stdout", 17), b"x" * LIMIT_BYTES))
    piece = fields(listener.recv(65536))
    assert (piece["MESSAGE"], piece["NSVISOR_PARTIAL"], piece["PRIORITY"]) == (b"x" * LIMIT_BYTES, b"true", b"6")


def test_a_full_queue_is_not_waited_for_by_the_event_loop(sink: JournalSink, listener: socket.socket) -> None:
    lines = block(b"".join(b"%d\n" % number for number in range(100_000)))
    kept = sink.write(lines)
    assert 0 < kept < len(lines)
    assert lines[kept - 1 : kept] == b"\n"
    assert isinstance(sink.error, BlockingIOError)
    sent = lines.count(b"\n", 0, kept)
    assert sent <= TURN_LINES
    assert [fields(listener.recv(65536))["MESSAGE"] for _ in range(sent)] == [b"%d" % number for number in range(sent)]


def test_where_it_may_wait_no_line_is_lost_or_doubled(sink: JournalSink, listener: socket.socket, waits: Waits) -> None:
    waits[0] = True
    numbers = [b"%d" % number for number in range(5000)]
    lines = block(b"".join(number + b"\n" for number in numbers))
    kept: list[int] = []
    thread = threading.Thread(target=lambda: kept.append(sink.write(lines)))
    thread.start()
    assert [fields(listener.recv(65536))["MESSAGE"] for _ in numbers] == numbers
    thread.join(10)
    assert kept == [len(lines)]


def test_a_journald_that_is_stuck_is_waited_for_once(
    sink: JournalSink, listener: socket.socket, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_sink, "STALLED_S", 0.1)
    waits[0] = True
    sink._stalled_s = 0.1
    lines = block(b"x\n" * 2000)
    kept = sink.write(lines)
    assert 0 < kept < len(lines)
    assert isinstance(sink.error, BlockingIOError)
    began = time.monotonic()
    assert sink.write(lines) == 0  # from now on it fails at once
    assert time.monotonic() - began < 0.1
    for _ in range(lines.count(b"\n", 0, kept)):
        listener.recv(65536)
    assert sink.write(block(b"y\n")) > 0
    assert sink.error is None


def test_no_journald(sink: JournalSink, address: Path) -> None:
    assert sink.write(block(b"x\n")) == 0
    assert isinstance(sink.error, FileNotFoundError)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as later:
        later.bind(str(address))
        assert sink.write(block(b"x\n")) > 0
        assert sink.error is None
