"""Log files are written here as the runtime writes them, and rotated between any two lines."""

import os
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.cli.logfiles import BLOCK_BYTES, LogReader


class Writer:
    """Appends lines; keeps at most so many old files."""

    def __init__(self, path: Path, keep: int = 3) -> None:
        self.path = path
        self.keep = keep
        self.written: list[bytes] = []

    def write(self, *lines: bytes) -> None:
        with open(self.path, "ab") as file:
            for line in lines:
                file.write(line + b"\n")
                self.written.append(line)

    def rotate(self) -> None:
        for number in range(self.keep, 0, -1):
            source = f"{self.path}.{number - 1}" if number > 1 else str(self.path)
            if os.path.exists(source):
                os.replace(source, f"{self.path}.{number}")
        if self.keep == 0:
            self.path.unlink(missing_ok=True)


def last(reader: LogReader, count: int) -> list[bytes]:
    return list(islice(reader.newest_first(), count))[::-1]


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path / "web.log")


def reading(writer: Writer) -> LogReader:
    return LogReader(str(writer.path))


def test_everything_across_rotations_in_order(writer: Writer) -> None:
    for number in range(3):
        writer.write(b"%d a" % number, b"%d b" % number)
        writer.rotate()
    writer.write(b"now")
    reader = reading(writer)
    assert list(reader.everything()) == writer.written
    assert list(reader.fresh()) == []
    reader.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 100])
def test_last_lines_reach_back_into_older_files(writer: Writer, count: int) -> None:
    writer.write(b"1", b"2")
    writer.rotate()
    writer.write(b"3", b"4", b"5")
    reader = reading(writer)
    assert last(reader, count) == writer.written[len(writer.written) - min(count, 5) :]
    writer.write(b"6")
    assert list(reader.fresh()) == [b"6"]
    reader.close()


def test_line_that_is_being_written_comes_whole_and_once(writer: Writer) -> None:
    writer.write(b"before")
    for read in (lambda reader: last(reader, 10), lambda reader: list(reader.everything())):
        with open(writer.path, "ab") as file:
            file.write(b"half a ")
        reader = reading(writer)
        assert read(reader)[-1] == writer.written[-1]
        assert list(reader.fresh()) == []
        writer.write(b"line")
        writer.written[-1] = b"half a line"
        assert list(reader.fresh()) == [b"half a line"]
        reader.close()


def test_lines_longer_than_a_block(writer: Writer) -> None:
    writer.write(b"a" * (2 * BLOCK_BYTES + 1), b"b", b"c" * BLOCK_BYTES, b"d" * (BLOCK_BYTES - 1))
    reader = reading(writer)
    assert last(reader, 4) == writer.written
    reader.close()
    reader = reading(writer)
    assert list(reader.everything()) == writer.written
    reader.close()


def test_gap_that_a_rotation_leaves_for_a_moment(writer: Writer) -> None:
    writer.write(b"0")
    reader = reading(writer)
    assert list(reader.everything()) == [b"0"]
    writer.rotate()
    writer.write(b"1")
    writer.rotate()
    writer.write(b"2")
    os.replace(f"{writer.path}.2", f"{writer.path}.3")
    os.replace(f"{writer.path}.1", f"{writer.path}.2")
    assert list(reader.fresh()) == [b"1", b"2"]
    reader.close()


def test_file_that_comes_later(writer: Writer) -> None:
    reader = reading(writer)
    assert last(reader, 5) == []
    assert list(reader.fresh()) == []
    writer.write(b"first")
    assert list(reader.fresh()) == [b"first"]
    reader.close()


def test_file_that_comes_later_and_is_rotated_before_the_next_look(writer: Writer) -> None:
    reader = reading(writer)
    assert list(reader.everything()) == []
    for number in range(3):
        writer.write(b"%d" % number)
        writer.rotate()
    assert list(reader.fresh()) == writer.written
    writer.write(b"3")
    assert list(reader.fresh()) == [b"3"]
    reader.close()


def test_beginning_in_the_moment_of_a_rotation(writer: Writer) -> None:
    writer.write(b"0")
    writer.rotate()
    reader = reading(writer)
    assert last(reader, 5) == [b"0"]
    writer.write(b"1")
    assert list(reader.fresh()) == [b"1"]
    reader.close()


def test_several_rotations_between_two_looks(writer: Writer) -> None:
    writer.write(b"0")
    reader = reading(writer)
    assert list(reader.everything()) == [b"0"]
    writer.write(b"1")
    for number in range(2, 5):
        writer.rotate()
        writer.write(b"%d" % number)
    assert list(reader.fresh()) == [b"1", b"2", b"3", b"4"]
    reader.close()


def test_moment_of_a_rotation_without_a_file(writer: Writer) -> None:
    writer.write(b"0")
    reader = reading(writer)
    assert list(reader.everything()) == [b"0"]
    writer.rotate()
    assert list(reader.fresh()) == []
    writer.write(b"1")
    assert list(reader.fresh()) == [b"1"]
    reader.close()


def test_file_that_aged_out_is_followed_by_all_that_is_left(writer: Writer) -> None:
    writer.keep = 1
    writer.write(b"0")
    reader = reading(writer)
    assert list(reader.everything()) == [b"0"]
    for number in range(1, 5):
        writer.rotate()
        writer.write(b"%d" % number)
    assert list(reader.fresh()) == [b"3", b"4"]
    reader.close()


def test_nothing_is_left_open(writer: Writer) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(4):
        writer.write(b"x")
        writer.rotate()
    writer.write(b"y")
    reader = reading(writer)
    last(reader, 2)
    writer.rotate()
    writer.write(b"z")
    list(reader.fresh())
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_line_that_a_full_disk_cut_off_again_is_not_half_read(writer: Writer) -> None:
    writer.write(b"whole")
    reader = reading(writer)
    with open(writer.path, "ab") as file:
        file.write(b"unfinis")
    assert list(reader.everything()) == [b"whole"]
    os.truncate(writer.path, len(b"whole\n"))
    writer.write(b"another and longer one")
    assert list(reader.fresh()) == [b"another and longer one"]
    reader.close()


@pytest.mark.parametrize("size", [0, 3, 100_000], ids=["empty", "smaller", "larger"])
def test_file_that_is_emptied_is_read_from_its_beginning(writer: Writer, size: int) -> None:
    writer.write(b"a" * 100, b"b" * 100)
    reader = reading(writer)
    assert len(list(reader.everything())) == 2
    os.truncate(writer.path, 0)
    if size:
        writer.write(b"c" * size)
    got = list(reader.fresh())
    writer.write(b"later")
    assert [*got, *reader.fresh()] == [*([b"c" * size] if size else []), b"later"]
    reader.close()


def test_files_that_ended_before_are_not_read(writer: Writer) -> None:
    writer.write(b"old")
    os.utime(writer.path, (1000.0, 1000.0))
    writer.rotate()
    writer.write(b"new")
    reader = reading(writer)
    assert list(reader.everything(since=2000.0)) == [b"new"]
    reader.close()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(["write", "rotate", "read"]), max_size=30), st.booleans())
def test_follower_gets_every_line_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str], tail: bool
) -> None:
    writer = Writer(tmp_path_factory.mktemp("log") / "web.log", keep=40)
    writer.write(b"start")
    reader = reading(writer)
    got = last(reader, 1) if tail else list(reader.everything())
    for number, step in enumerate(steps):
        if step == "write":
            writer.write(b"%d" % number)
        elif step == "rotate":
            writer.rotate()
        else:
            got += reader.fresh()
    writer.write(b"end")
    got += reader.fresh()
    reader.close()
    assert got == writer.written
