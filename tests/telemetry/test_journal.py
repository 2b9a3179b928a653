import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.telemetry.journal import PRIORITIES, JournalSocket, encode_field, is_journal
from supervisor.telemetry.journal_record import JournalWriter

BIG = b"DATA=" + b"x" * 1_000_000 + b"\n"


class Listener:
    """What journald's socket is to a sender."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(10)

    def take(self) -> bytes:
        """One entry; one that came as a file is read from it."""
        data, fds, _, _ = socket.recv_fds(self.socket, 65536, 1)
        if not fds:
            return data
        assert data == b""
        with open(fds[0], "rb") as file:
            file.seek(0)
            with pytest.raises(PermissionError):
                os.ftruncate(fds[0], 0)  # sealed
            return file.read()

    def fill(self, to: JournalSocket) -> int:
        """Send until it takes no more; how many it took."""
        count = 0
        try:
            while True:
                to.send(b"MESSAGE=fill\n")
                count += 1
        except BlockingIOError:
            return count

    def remove(self) -> None:
        self.socket.close()
        self.path.unlink(missing_ok=True)


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    made = Listener(tmp_path / "socket")
    yield made
    made.remove()


@pytest.fixture
def journal(listener: Listener) -> Iterator[JournalSocket]:
    made = JournalSocket(str(listener.path))
    yield made
    made.close()


def test_fields() -> None:
    assert encode_field("A", b"one = \xff\0") == b"A=one = \xff\0\n"
    assert encode_field("A", b"") == b"A=\n"
    assert encode_field("A_1", b"a\nb") == b"A_1\n\x03\0\0\0\0\0\0\0a\nb\n"


def test_small_entries_are_datagrams_and_large_ones_sealed_files(journal: JournalSocket, listener: Listener) -> None:
    before = set(os.listdir("/proc/self/fd"))
    for entry in (b"MESSAGE=a\n", BIG, b"MESSAGE=b\n"):
        journal.send(entry)
        assert listener.take() == entry
    assert len(set(os.listdir("/proc/self/fd")) - before) == 1  # the socket itself


def test_a_full_queue_is_told_and_not_waited_for(journal: JournalSocket, listener: Listener) -> None:
    taken = listener.fill(journal)
    assert taken > 0
    for entry in (b"MESSAGE=a\n", BIG):
        with pytest.raises(BlockingIOError):
            journal.send(entry)
    assert not journal.poll(0)
    listener.take()
    assert journal.poll(10_000)
    journal.send(b"MESSAGE=last\n")
    assert [listener.take() for _ in range(taken)][-1] == b"MESSAGE=last\n"


def test_no_journal_then_one_then_another(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    journal = JournalSocket(str(path))
    try:
        with pytest.raises(FileNotFoundError):
            journal.send(b"MESSAGE=none\n")
        assert not journal.poll(0)
        assert journal.fileno() == -1
        for number in (b"1", b"2"):
            listener = Listener(path)
            journal.send(b"MESSAGE=" + number + b"\n")
            assert listener.take() == b"MESSAGE=" + number + b"\n"
            listener.remove()
        with pytest.raises(OSError) as caught:  # noqa: PT011 which one is the point
            journal.send(b"MESSAGE=gone\n")
        assert caught.value.errno in {errno.ECONNREFUSED, errno.ENOENT}
    finally:
        journal.close()


def test_journal_stream_is_compared_with_the_descriptor(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        found = os.fstat(file.fileno())
        here = f"{found.st_dev}:{found.st_ino}"
        assert is_journal(file.fileno(), {"JOURNAL_STREAM": here})
        for other in ({}, {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino + 1}"}, {"JOURNAL_STREAM": ""}):
            assert not is_journal(file.fileno(), other)
        fd = file.fileno()
    assert not is_journal(fd, {"JOURNAL_STREAM": here})  # closed


class Elsewhere:
    """A standard error that takes two records."""

    def __init__(self) -> None:
        self.lost = 0
        self.taken: list[str] = []

    def write(self, level: str, fields: dict[str, Any]) -> None:
        assert level in PRIORITIES
        if len(self.taken) == 2:
            self.lost += 1
        else:
            self.taken.append(fields["event"])


def test_what_standard_error_did_not_take_either_is_told_as_lost(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    journal, elsewhere = JournalSocket(str(path)), Elsewhere()
    writer = JournalWriter(journal, elsewhere)
    for _ in range(4):
        writer.error({"event": "daemon.failed", "error": "x"})
    assert elsewhere.taken == ["journal.unavailable", "daemon.failed"]
    listener = Listener(path)
    writer.info({"event": "daemon.ready", "instances": 1})
    assert b"MESSAGE=the journal takes records again; 1 went to standard error, 3 were lost\n" in listener.take()
    assert b"MESSAGE=ready, with 1 instances\n" in listener.take()
    assert elsewhere.lost == writer.elsewhere == 0
    journal.close()
    listener.remove()


PUBLISH = """
import os, sys
from supervisor.telemetry.bus import EventBus
from supervisor.telemetry.setup import configure
found = os.fstat(2)
configure("info", journal=sys.argv[1], environ={"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"})
bus = EventBus("info")
for line in sys.stdin:
    bus.publish("worker.running", worker="web", instance="web", incarnation=1, pid=int(line))
    print("done", flush=True)
"""


def test_the_program_says_each_record_once_whatever_becomes_of_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with open(tmp_path / "stderr", "w+b") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PUBLISH, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None

        def publish(pid: int) -> None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{pid}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"

        with process:
            publish(1)
            publish(2)  # no journal until now
            listener = Listener(path)
            publish(3)
            recovered, third = listener.take(), listener.take()
            other = JournalSocket(str(path))
            listener.fill(other)  # full, and nobody reads
            publish(4)
            publish(5)
            other.close()
            listener.remove()
            process.stdin.close()
            assert process.wait(20) == 0
        stderr.seek(0)
        records = [json.loads(line) for line in stderr]
    assert [(one["event"], one.get("pid"), one.get("errno")) for one in records] == [
        ("journal.unavailable", None, "ENOENT"),
        ("worker.running", 1, None),
        ("worker.running", 2, None),
        ("journal.unavailable", None, "EAGAIN"),
        ("worker.running", 4, None),
        ("worker.running", 5, None),
    ]
    assert b"NSVISOR_EVENT=journal.recovered\n" in recovered
    assert b"NSVISOR_RECORDS=2\n" in recovered
    assert b"MESSAGE=web#1 runs as process 3\n" in third
