import errno
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from supervisor.runtime.log_file import LogFile
from supervisor.runtime.log_line import head

Reports = list[tuple[str, dict[str, object]]]


class Made:
    """A log file in a directory of its own, and what it reported."""

    def __init__(
        self, directory: Path, max_size_bytes: int = 4096, keep: int = 2, max_age_s: float | None = None
    ) -> None:
        self.directory = directory / "state" / "logs"
        self.reports: Reports = []
        self.file = LogFile(str(self.directory / "web.log"), max_size_bytes, keep, self.report, max_age_s)

    def report(self, event: str, level: str, **fields: object) -> None:
        assert level
        self.reports.append((event, fields))

    def errno(self) -> int | None:
        return None if self.file.error is None else self.file.error.errno

    def names(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())

    def read(self, name: str = "web.log") -> bytes:
        return (self.directory / name).read_bytes()

    def everything(self) -> bytes:
        """Oldest first."""
        names = sorted(self.names(), key=lambda name: -int(name.removeprefix("web.log").removeprefix(".") or 0))
        return b"".join(self.read(name) for name in names)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Made]]:
    made: list[Made] = []

    def one(**arguments: Any) -> Made:
        made.append(Made(tmp_path, **arguments))
        return made[-1]

    yield one
    for item in made:
        item.file.close()


def test_made_private_and_only_when_there_is_something(make: Callable[..., Made]) -> None:
    made = make()
    assert not made.directory.exists()
    assert made.file.write(b"one\n") == 4
    assert made.read() == b"one\n"
    assert made.directory.stat().st_mode & 0o7777 == 0o700
    assert (made.directory / "web.log").stat().st_mode & 0o7777 == 0o600
    assert not os.get_inheritable(made.file._fd)


def test_an_existing_file_goes_on(make: Callable[..., Made]) -> None:
    made = make()
    made.file.write(b"one\n")
    made.file.close()
    made.file.write(b"two\n")
    assert make().file.write(b"three\n") == 6
    assert made.read() == b"one\ntwo\nthree\n"


def test_rotation_at_line_ends_within_the_size(make: Callable[..., Made]) -> None:
    made = make(max_size_bytes=100, keep=3)
    lines = [b"%03d %s\n" % (number, b"x" * (number % 40)) for number in range(60)]
    made.file.write(b"".join(lines[:50]))  # one block, many files
    for line in lines[50:]:
        made.file.write(line)
    assert made.names() == ["web.log", "web.log.1", "web.log.2", "web.log.3"]
    assert b"".join(lines).endswith(made.everything())
    for name in made.names():
        assert 0 < len(made.read(name)) <= 100
        assert made.read(name).endswith(b"\n")
    assert {event for event, _ in made.reports} == {"log.rotated"}


def test_files_are_filled_before_they_are_rotated(make: Callable[..., Made]) -> None:
    made = make(max_size_bytes=100, keep=50)
    made.file.write(b"123456789\n" * 100)
    assert [len(made.read(name)) for name in made.names()] == [100] * 10


def test_a_line_longer_than_a_file_gets_a_file(make: Callable[..., Made]) -> None:
    made = make(max_size_bytes=10, keep=9)
    long = b"x" * 50 + b"\n"
    assert made.file.write(b"a\n" + long + b"b\n") == 55
    assert [made.read(name) for name in made.names()] == [b"b\n", long, b"a\n"]


def test_nothing_is_kept_where_nothing_is_to_be_kept(make: Callable[..., Made]) -> None:
    made = make(max_size_bytes=10, keep=0)
    made.file.write(b"1234567\n" * 3)
    assert made.names() == ["web.log"]
    assert made.read() == b"1234567\n"


def test_fewer_are_kept_from_now_on(make: Callable[..., Made]) -> None:
    made = make(max_size_bytes=10, keep=6)
    made.file.write(b"1234567\n" * 9)
    assert len(made.names()) == 7
    made.file.close()
    make(max_size_bytes=10, keep=2).file.write(b"1234567\n")
    assert made.names() == ["web.log", "web.log.1", "web.log.2"]


def test_a_gap_in_the_numbers_stays_harmless(make: Callable[..., Made]) -> None:
    made = make(max_size_bytes=4, keep=4)
    for letter in b"abcde":
        made.file.write(b"%c--\n" % letter)
    (made.directory / "web.log.2").unlink()
    made.file.write(b"f--\n")
    assert made.everything() == b"a--\nb--\nd--\ne--\nf--\n"


@pytest.mark.parametrize("how", ["file", "directory", "renamed", "replaced"])
def test_opened_again_when_it_went_away(make: Callable[..., Made], how: str) -> None:
    made = make()
    made.file.write(b"before\n")
    path = made.directory / "web.log"
    if how == "file":
        path.unlink()
    elif how == "renamed":
        path.rename(made.directory / "elsewhere")
    elif how == "replaced":
        path.rename(made.directory / "elsewhere")
        path.touch(0o600)
    else:
        path.unlink()
        made.directory.rmdir()
    assert made.file.write(b"after\n") == 6
    assert made.read() == b"after\n"
    assert path.stat().st_mode & 0o7777 == 0o600


def test_emptied_by_somebody_else(make: Callable[..., Made]) -> None:
    made = make()
    made.file.write(b"before\n")
    os.truncate(made.directory / "web.log", 0)
    made.file.write(b"after\n")
    assert made.read() == b"after\n"


@pytest.mark.parametrize(
    ("found", "left"),
    [
        (b"whole\nhal", b"whole\n"),
        (b"hal", b""),
        (b"x" * 200_000, b""),
        (b"whole\n" + b"x" * 200_000, b"whole\n"),
        (b"x" * 65535 + b"\n" + b"y" * 65536, b"x" * 65535 + b"\n"),
    ],
)
def test_an_unfinished_line_is_cut_off_and_reported(make: Callable[..., Made], found: bytes, left: bytes) -> None:
    made = make(max_size_bytes=1 << 20)
    made.directory.mkdir(parents=True)
    (made.directory / "web.log").write_bytes(found)
    made.file.write(b"new\n")
    assert made.read() == left + b"new\n"
    assert [(event, fields["cut_bytes"]) for event, fields in made.reports] == [
        ("log.repaired", len(found) - len(left))
    ]


def test_cut_by_somebody_else(make: Callable[..., Made]) -> None:
    made = make()
    made.file.write(b"before\nhalf\n")
    os.truncate(made.directory / "web.log", 9)
    made.file.write(b"after\n")
    assert made.read() == b"before\nafter\n"
    assert made.reports == [("log.repaired", {"path": made.file.path, "cut_bytes": 2})]


class Clock:
    """The wall clock, for the age of files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_800_000_000.0
        monkeypatch.setattr(time, "time", lambda: self.now)

    def line(self) -> bytes:
        return head(self.now, "stdout", 1) + b',"m":""}\n'


def test_rotation_by_age(make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    made = make(max_age_s=60)
    lines = []
    for after_s in (0, 59, 1, 59.5, 0.5, 1000, 0):
        clock.now += after_s
        lines.append(clock.line())
        assert made.file.write(lines[-1]) == len(lines[-1])
    assert made.everything() == b"".join(lines[2:])  # keep is 2
    assert made.read("web.log.2") == lines[2] + lines[3]
    assert made.read("web.log.1") == lines[4]
    assert made.read() == lines[5] + lines[6]
    assert [event for event, _ in made.reports] == ["log.rotated"] * 3


def test_the_age_is_that_of_the_first_line(make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    old = clock.line()
    make(max_age_s=60).file.write(old)
    clock.now += 60
    made = make(max_age_s=60)  # by another daemon
    made.file.write(clock.line())
    assert made.read("web.log.1") == old
    clock.now -= 100_000  # set back: the age begins again
    made.file.write(clock.line())
    clock.now += 59
    made.file.write(clock.line())
    assert made.names() == ["web.log", "web.log.1"]
    clock.now += 1
    made.file.write(clock.line())
    assert made.names() == ["web.log", "web.log.1", "web.log.2"]


def test_room_that_was_asked_for_ahead_is_given_back(make: Callable[..., Made]) -> None:
    block = b"x" * 999 + b"\n"
    made = make(max_size_bytes=1 << 30)

    def extra() -> int:
        found = (made.directory / "web.log").stat()
        return found.st_blocks * 512 - found.st_size

    made.file.write(block * 10)
    assert extra() < 65536
    for _ in range(3):
        assert made.file.write(block * 200, block * 100) == 300_000
    assert extra() > 1 << 20
    made.file.close()
    assert extra() < 65536
    assert made.read() == block * 910
    made.file.write(block * 300)
    os.close(made.file._fd)  # as a crash leaves it
    made.file._fd = -1
    assert extra() > 1 << 20
    made.file.write(block)
    assert extra() < 65536


def test_parts_are_as_good_as_one_block(make: Callable[..., Made]) -> None:
    made = make(max_size_bytes=100, keep=50)
    lines = [b"%09d\n" % number for number in range(1000)]
    parts = [half for line in lines for half in (line[:4], memoryview(line)[4:])]
    assert made.file.write(*parts) == 10_000
    assert made.names() == sorted(["web.log", *(f"web.log.{number}" for number in range(1, 51))])
    assert b"".join(lines).endswith(made.everything())


@contextmanager
def file_size_limit(limit_bytes: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_half_written_line_is_cut_back(make: Callable[..., Made]) -> None:
    made = make()
    made.file.write(b"one\n")
    with file_size_limit(14):
        assert made.file.write(b"two\nthree\nfour\n") == 10
        assert made.errno() == errno.EFBIG
        assert made.read() == b"one\ntwo\nthree\n"
        assert made.file.write(b"four\n") == 0
    assert made.file.write(b"five\n") == 5
    assert made.errno() is None
    assert made.read() == b"one\ntwo\nthree\nfive\n"


def test_what_cannot_be_cut_back_is_repaired_later(make: Callable[..., Made], monkeypatch: pytest.MonkeyPatch) -> None:
    made = make()
    made.file.write(b"one\n")

    def broken(_fd: int, _size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with file_size_limit(6), monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", broken)
        assert made.file.write(b"two\n") == 0
    assert made.read() == b"one\ntw"
    assert made.file.write(b"three\n") == 6
    assert made.read() == b"one\nthree\n"
    assert [event for event, _ in made.reports] == ["log.repaired"]


@pytest.mark.parametrize("kind", ["directory", "fifo", "link", "dangling"])
def test_what_is_no_file_of_ours_is_refused(make: Callable[..., Made], tmp_path: Path, kind: str) -> None:
    made = make()
    made.directory.mkdir(parents=True)
    path = made.directory / "web.log"
    target = tmp_path / "target"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(target)
        if kind == "link":
            target.write_bytes(b"")
    assert made.file.write(b"one\n") == 0
    assert made.file.error is not None
    assert made.file._fd == -1
    assert not target.exists() or target.read_bytes() == b""


def test_rotation_that_fails_loses_nothing_and_is_said_once(make: Callable[..., Made]) -> None:
    made = make(max_size_bytes=10, keep=1)
    made.directory.mkdir(parents=True)
    (made.directory / "web.log.1").mkdir()  # cannot be replaced by a file
    for number in range(4):
        made.file.write(b"line %d\n" % number)
    assert made.read() == b"line 0\nline 1\nline 2\nline 3\n"
    [(event, fields)] = made.reports
    assert event == "log.rotation_failed"
    assert fields["errno"] == "EISDIR"
    (made.directory / "web.log.1").rmdir()
    made.file.write(b"line 4\n")
    assert made.read() == b"line 4\n"
    assert made.reports[-1][0] == "log.rotated"
