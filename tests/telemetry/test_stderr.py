import os
import resource
import time
from pathlib import Path

import pytest

from supervisor.telemetry.stderr import PATIENCE_MS, RecordWriter


def note(lost: int) -> bytes:
    return b"lost %d\n" % lost


def test_whole_records_to_a_file(tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        writer = RecordWriter(file.fileno(), note)
        writer.info(b"a\n")
        writer.error(b"b" * 100_000 + b"\n")
    assert (tmp_path / "file").read_bytes() == b"a\n" + b"b" * 100_000 + b"\n"


def test_a_closed_descriptor_is_never_written_even_when_its_number_is_taken(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "first", os.O_WRONLY | os.O_CREAT)
    os.close(fd)
    writer = RecordWriter(fd, note)
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    try:
        assert other == fd
        writer.write(b"record\n")
        assert os.fstat(other).st_size == 0
        assert writer.lost == 1
    finally:
        os.close(other)


def test_a_reader_that_went_away() -> None:
    reader, end = os.pipe()
    os.close(reader)
    try:
        writer = RecordWriter(end, note)
        writer.write(b"record\n")
        writer.write(b"record\n")
        assert writer.lost == 2
    finally:
        os.close(end)


def test_full_device_is_survived() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        writer = RecordWriter(fd, note)
        writer.write(b"record\n")
        assert writer.lost == 1
    finally:
        os.close(fd)


def test_a_stuck_reader_is_waited_for_once_and_told_what_it_missed() -> None:
    reader, end = os.pipe()
    try:
        writer = RecordWriter(end, note)
        record = b"r" * 999 + b"\n"
        began = time.monotonic()
        for _ in range(200):  # 200 kB into a pipe of 64 KiB
            writer.write(record)
        assert time.monotonic() - began < 2 * PATIENCE_MS / 1000 + 1
        lost = writer.lost
        assert lost > 100
        kept = 200 - lost
        assert os.read(reader, 1 << 20) == record * kept
        writer.write(b"again\n")
        assert os.read(reader, 1 << 20) == b"lost %d\nagain\n" % lost
        assert writer.lost == 0
    finally:
        os.close(reader)
        os.close(end)


def test_a_torn_record_does_not_spoil_the_next_line() -> None:
    reader, end = os.pipe()
    try:
        writer = RecordWriter(end, note)
        writer.write(b"x" * 100_000 + b"\n")  # more than the pipe holds
        torn = os.read(reader, 1 << 20)
        assert 0 < len(torn) < 100_000
        writer.write(b"next\n")
        assert os.read(reader, 1 << 20) == b"\nlost 1\nnext\n"
    finally:
        os.close(reader)
        os.close(end)


def test_size_limit_of_a_file(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open(tmp_path / "file", "wb") as file:
        writer = RecordWriter(file.fileno(), note)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            writer.write(b"0123456789abcdef\n")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        writer.write(b"next\n")
    assert (tmp_path / "file").read_bytes() == b"0123456789\nlost 1\nnext\n"


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_every_level_is_a_method(level: str, tmp_path: Path) -> None:
    with open(tmp_path / "file", "wb") as file:
        getattr(RecordWriter(file.fileno(), note), level)(b"record\n")
    assert (tmp_path / "file").read_bytes() == b"record\n"
