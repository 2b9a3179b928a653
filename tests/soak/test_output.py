"""What a soak says of logs and records does depend on them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.soak import records
from tests.soak.output import Output
from tests.soak.records import Records
from tests.torture.invariants import Invariants
from tests.torture.workload import line

LOST = {"event": "log.lost", "lost_bytes_most": 500, "cut_streams": []}


class Writer:
    """A workload and its supervisor."""

    def __init__(self, top: Path) -> None:
        self.invariants = Invariants()
        self.top = top
        self.output = Output("a", top / "a.log", top, self.invariants)

    def write(
        self, start: int, *numbers: int, written: int | None = None, text: str | None = None, piece: bool = False
    ) -> None:
        """Lines of this start, which is the incarnation too, into the log; written: how many there were."""
        with (self.top / "a.starts").open("a") as file:
            file.write("0\n" * (start - self.output.starts))
        (self.top / f"a.{start}.count").write_text(str(numbers[-1] if written is None else written))
        with (self.top / "a.log").open("a") as file:
            for number in numbers:
                message = line(start, number).decode().removesuffix("\n") if text is None else text
                stored = {"t": 0, "s": "stdout", "i": start, "m": message} | ({"p": True} if piece else {})
                file.write(json.dumps(stored) + "\n")

    def rotate(self) -> None:
        for number in (2, 1):
            if (self.top / f"a.log.{number}").exists():
                (self.top / f"a.log.{number}").rename(self.top / f"a.log.{number + 1}")
        (self.top / "a.log").rename(self.top / "a.log.1")

    def broken(self, *told: dict[str, Any], dropped: bool = False) -> list[str]:
        self.output.finish(list(told), dropped=dropped)
        return self.invariants.broken


def test_what_is_whole_is_not_complained_about(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    for start in (1, 2, 3):
        writer.write(start, 1, 2)
        writer.output.look()
        writer.write(start, 3)
        writer.rotate()
        writer.write(start, 4, 5)
    assert writer.broken() == []
    assert (writer.output.lines, writer.output.holes, writer.output.unread) == (15, 0, 0)
    assert not list(tmp_path.glob("*.count"))


def test_holes_are_found_across_files_and_starts(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.write(1, 1, 2)
    writer.output.look()
    writer.rotate()
    writer.write(1, 4, written=6)
    writer.write(3, 1)
    (tmp_path / "a.2.count").write_text("1")
    assert "3 holes in its log, 0 were told" in writer.broken()[0]
    writer.invariants.broken.clear()
    assert writer.broken(LOST, LOST, LOST) == []
    assert "bytes are missing, told were 3" in writer.broken(*[{**LOST, "lost_bytes_most": 1}] * 3)[0]


def test_what_is_out_of_order_or_cut(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.write(1, 1, 2, 2, 3)
    writer.write(1, 4, text="...")
    first, second = writer.broken(LOST)
    assert "line 2 after line 2" in first
    assert "lack their beginning" in second
    writer = Writer(tmp_path / ".")
    writer.write(2, 1)
    writer.write(1, 4)
    assert any("incarnation 1 after one of 2" in what for what in writer.broken())


def test_a_line_in_pieces_is_whole_and_a_piece_alone_is_none(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.write(1, 1, 2)
    writer.write(1, 2, text="1 3", piece=True)
    writer.write(1, 3, text=line(1, 3).decode()[3:].removesuffix("\n"))
    writer.write(1, 4, 5)
    writer.write(1, 5, text="1 ", piece=True)
    writer.write(2, 1, 2)
    assert writer.broken() == []
    assert writer.output.holes == 0


def test_files_that_were_removed_before_they_were_read_are_no_hole(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.write(1, 1)
    writer.output.look()
    (tmp_path / "a.log").unlink()
    (tmp_path / "other").write_text("")  # lest the number of the file is used again
    writer.write(2, 7, 8)
    assert writer.broken() == []
    assert writer.output.unread == 1


def test_records(tmp_path: Path) -> None:
    invariants = Invariants()
    file = tmp_path / "records"
    following = Records(file, invariants)
    ended = '{"event": "worker.exited", "instance": "a", "incarnation": 1, "cause": "exit"}\n'
    file.write_text(ended + '{"event": "log.lo{"event": "x"}\n')
    following.read()
    assert invariants.broken == []
    with file.open("a") as more:
        more.write(ended + '{"event": "worker.unkil')
        following.read()
        more.write('lable", "instance": "a"}\nTraceback (most recent call last):\n')
    following.read()
    twice, unkillable, traceback = invariants.broken
    assert twice.startswith("an exit was told twice")
    assert unkillable.startswith("worker.unkillable")
    assert traceback.startswith("a daemon wrote: Traceback")


def test_what_was_read_of_the_records_does_not_stay_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "KEPT_BYTES", 1 << 20)
    file = tmp_path / "records"
    file.write_bytes((b"x" * ((1 << 20) - 1) + b"\n") * 8)
    before = file.stat()
    Records(file, Invariants()).read()
    after = file.stat()
    assert after.st_size == before.st_size
    assert after.st_blocks * 512 <= 2 << 20
