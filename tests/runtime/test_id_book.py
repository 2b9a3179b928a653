"""The book on disk, the locks, and what a daemon and `nsvisor run` make of them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from supervisor.runtime.id_book import IdBook, borrow, preview
from supervisor.runtime.id_locks import Locks
from supervisor.spec.facts import HostFacts, IdRange, IdSlice
from supervisor.spec.load import load_text
from supervisor.spec.model import Fleet

RANGE = (IdRange(100000, 4096),)
FACTS = HostFacts(
    uid=424242, gid=1, user="ada", home="/", privileged=False, view=(), subuids=RANGE, subgids=(IdRange(200000, 4096),)
)
HOLD = """
import sys
from supervisor.runtime.id_locks import Locks
from supervisor.spec.facts import IdSlice
print(Locks(sys.argv[1], 424242).take(IdSlice(*map(int, sys.argv[2:]))), flush=True)
sys.stdin.read()
"""


def fleet(*names: str, **keys: object) -> Fleet:
    more = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    return load_text(
        "".join(f'[worker.{name}]\ncommand = ["x"]\nid_map = "auto"\n{more}' for name in names), environ={}
    )


class Seen:
    """What was published."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, _level: str, **fields: object) -> None:
        self.events.append((event, fields))


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def book(tmp_path: Path) -> Iterator[IdBook]:
    book = IdBook(str(tmp_path), FACTS.uid)
    yield book
    book.close()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another nsvisor with the ids 100000 to 101023."""
    words = [sys.executable, "-c", HOLD, str(tmp_path), "100000", "200000", "1024"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process


def test_slices_are_kept_on_disk(tmp_path: Path, book: IdBook, seen: Seen) -> None:
    first = book.assign(fleet("web", "db"), FACTS, seen).slices
    assert first == {"web": IdSlice(100000, 200000, 1024), "db": IdSlice(101024, 201024, 1024)}
    book.close()
    assert (tmp_path / "ids.json").stat().st_mode & 0o777 == 0o600
    again = IdBook(str(tmp_path), FACTS.uid)
    assert again.assign(fleet("new", "db", "web"), FACTS, seen).slices == first | {"new": IdSlice(102048, 202048, 1024)}
    again.close()
    assert seen.events == []


def test_a_fleet_that_wants_none_writes_nothing(tmp_path: Path, book: IdBook, seen: Seen) -> None:
    assert book.assign(load_text('[worker.a]\ncommand = ["x"]\n', environ={}), FACTS, seen) == FACTS
    assert list(tmp_path.iterdir()) == []


def test_a_reload_keeps_gives_and_frees(tmp_path: Path, book: IdBook, seen: Seen) -> None:
    book.assign(fleet("web", "db"), FACTS, seen)
    after = book.assign(fleet("db", "mail"), FACTS, seen)
    assert after.slices == {"db": IdSlice(101024, 201024, 1024), "mail": IdSlice(102048, 202048, 1024)}
    assert book.assign(fleet("web"), FACTS, seen).slices["web"].uid == 100000
    assert {line["worker"]: line["released"] for line in json.loads((tmp_path / "ids.json").read_text())["slices"]} == {
        "web": 0,
        "db": 2,
        "mail": 2,
    }


def test_used_up(book: IdBook, seen: Seen) -> None:
    found = book.assign(fleet("a", "b", "c", "d", "e"), FACTS, seen)
    assert set(found.slices) == {"a", "b", "c", "d"}
    (error,) = found.slice_errors.values()
    assert error == ("ENOSPC", "no 1024 ids in a row are left of the 4096 subordinate ids of ada")
    after = book.assign(fleet("b", "c", "d", "e"), FACTS, seen)  # the name of `a` is gone: last of all, its ids
    assert after.slices["e"] == found.slices["a"]
    assert seen.events == [("ids.reused", {"worker": "e", "uid": 100000, "gid": 200000, "count": 1024, "former": "a"})]


def test_no_line_at_all(book: IdBook, seen: Seen) -> None:
    facts = msgspec.structs.replace(FACTS, subgids=())
    found = book.assign(fleet("a"), facts, seen)
    assert found.slice_errors == {"a": ("ENOSPC", "/etc/subgid gives ada no subordinate gids")}


def test_more_ids_move_a_worker_and_say_so(book: IdBook, seen: Seen) -> None:
    book.assign(fleet("web", "db"), FACTS, seen)
    found = book.assign(load_text(
        '[defaults]\nid_map = "auto"\n[worker.web]\ncommand = ["x"]\nid_count = 2000\n[worker.db]\ncommand = ["x"]\n',
        environ={},
    ), FACTS, seen)  # fmt: skip
    assert found.slices["web"] == IdSlice(102048, 202048, 2000)
    assert [(event, fields["worker"], fields["uid"]) for event, fields in seen.events] == [("ids.moved", "web", 100000)]


@pytest.mark.parametrize("text", ["", "{", '{"version": 1, "slices": 3}', '{"version": 2}'])
def test_a_book_that_cannot_be_read_is_left_alone(text: str, tmp_path: Path, book: IdBook, seen: Seen) -> None:
    (tmp_path / "ids.json").write_text(text)
    found = book.assign(fleet("web"), FACTS, seen)
    assert found.slices == {}
    errno_name, words = found.slice_errors["web"]
    assert errno_name == "EIO"
    assert words.startswith(f"cannot read {tmp_path}/ids.json: ")
    assert seen.events == [("ids.failed", {"error": words})]
    assert (tmp_path / "ids.json").read_text() == text


def test_a_book_that_cannot_be_written(tmp_path: Path, book: IdBook, seen: Seen) -> None:
    """What is not on disk is not used: the next daemon would give it to another."""
    (tmp_path / "ids.json.new").mkdir()
    found = book.assign(fleet("web"), FACTS, seen)
    assert found.slices == {}
    assert found.slice_errors["web"] == ("EIO", f"cannot write {tmp_path}/ids.json: Is a directory")


def test_a_reload_on_a_full_disk_costs_those_that_are_new_only(tmp_path: Path, book: IdBook, seen: Seen) -> None:
    before = book.assign(fleet("web"), FACTS, seen)
    (tmp_path / "ids.json.new").mkdir()
    found = book.assign(fleet("web", "db"), FACTS, seen)
    assert found.slices == before.slices
    assert set(found.slice_errors) == {"db"}


@pytest.mark.usefixtures("holder")
def test_ids_that_another_holds_are_not_given_out(book: IdBook, seen: Seen) -> None:
    assert book.assign(fleet("web"), FACTS, seen).slices["web"].uid == 101024


def test_ids_of_the_book_that_another_holds(tmp_path: Path, seen: Seen) -> None:
    """Of two daemons whose state directories tell the same: the second one's worker does not start."""
    first, second = IdBook(str(tmp_path), FACTS.uid), IdBook(str(tmp_path), FACTS.uid)
    first.assign(fleet("web"), FACTS, seen)
    found = second.assign(fleet("web", "db"), FACTS, seen)
    assert set(found.slices) == {"db"}
    assert found.slice_errors["web"] == ("EBUSY", "ids 100000 to 101023 are in use by another nsvisor of this user")
    first.close()
    assert set(second.assign(fleet("web", "db"), FACTS, seen).slices) == {"web", "db"}
    second.close()


def test_a_lock_ends_with_its_process(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    locks = Locks(str(tmp_path), FACTS.uid)
    overlapping = IdSlice(101000, 0, 100)
    assert not locks.is_free(overlapping)
    assert not locks.take(overlapping)
    assert locks.take(IdSlice(101024, 0, 100))
    holder.kill()
    holder.wait()
    assert locks.is_free(overlapping)
    locks.close()


def test_run_borrows_from_the_end_what_no_worker_has(tmp_path: Path, book: IdBook, seen: Seen) -> None:
    names = ("a", "b", "c")
    book.assign(fleet(*names), FACTS, seen)
    book.assign(fleet(*names[1:]), FACTS, seen)
    (worker,) = fleet("run").workers.values()
    assert borrow(worker, FACTS, str(tmp_path)).slices == {"run": IdSlice(103072, 203072, 1024)}
    assert borrow(worker, FACTS, str(tmp_path)).slice_errors["run"][0] == "ENOSPC"  # `a` has gone, its files have not


def test_preview_tells_what_a_daemon_would_give(tmp_path: Path, book: IdBook, seen: Seen) -> None:
    book.assign(fleet("web"), FACTS, seen)
    before = (tmp_path / "ids.json").read_text()
    found = preview(fleet("db", "web", "c", "d", "e"), FACTS, str(tmp_path))
    assert {name: ids.uid for name, ids in found.slices.items()} == {
        "web": 100000,
        "db": 101024,
        "c": 102048,
        "d": 103072,
    }
    assert set(found.slice_errors) == {"e"}
    assert (tmp_path / "ids.json").read_text() == before


def test_root_picks_and_keeps(tmp_path: Path, seen: Seen) -> None:
    facts = msgspec.structs.replace(FACTS, privileged=True, subuids=(), subgids=(), user="root")
    whole = int(Path("/proc/self/uid_map").read_text().split()[2]) == 2**32 - 1
    book = IdBook(str(tmp_path), FACTS.uid)
    found = book.assign(fleet("web", "db", "mail"), facts, seen)
    book.close()
    if not whole:
        assert {error[0] for error in found.slice_errors.values()} == {"ENOSPC"}
        return
    starts = {ids.uid for ids in found.slices.values()}
    assert len(starts) == 3
    assert all(start % 65536 == 0 and 524288 <= start <= 1878982656 for start in starts)
    again = IdBook(str(tmp_path), FACTS.uid)
    assert again.assign(fleet("mail", "web"), facts, seen).slices.items() <= found.slices.items()
    again.close()
