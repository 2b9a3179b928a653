"""Slices of ids: never shared, never given up while the name is there, given on only when nothing else is left."""

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.policy.id_slices import PICK_STEP, Allotment, Note, Slice, allot
from supervisor.spec.facts import IdRange, IdSlice

POOL = IdSlice(100000, 200000, 4096)
NAMES = ["web", "db", "mail", "queue", "cron"]
WANTED = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 2500), max_size=5)


def rounds(*wanted: dict[str, int], pools: tuple[IdSlice, ...] = (POOL,)) -> Allotment:
    """One configuration after the other: what the last one gives."""
    found = Allotment(())
    for one in wanted:
        found = allot(found.book, one, pools)
    return found


def by_name(found: Allotment) -> dict[str, Slice]:
    assert len({line.worker for line in found.book}) == len(found.book)
    return {line.worker: line for line in found.book}


@settings(max_examples=300, deadline=None)
@given(
    st.lists(WANTED, min_size=1, max_size=6),
    st.lists(st.builds(IdRange, st.integers(99000, 105000), st.integers(1, 500)), max_size=3),
    st.booleans(),
)
def test_disjoint_within_range_and_stable(
    configurations: list[dict[str, int]], taken: list[IdRange], second_pool: bool
) -> None:
    pools = (POOL, IdSlice(300000, 300000, 3000)) if second_pool else (POOL,)
    book: tuple[Slice, ...] = ()
    for wanted in configurations:
        before = {line.worker: line for line in book}
        found = allot(book, wanted, pools, taken)
        lines = by_name(found)
        book = found.book
        for axis in ("uid", "gid"):
            spans = sorted((getattr(line, axis), line.count) for line in book)
            assert all(start + count <= later for (start, count), (later, _) in itertools.pairwise(spans))
        for line in book:
            assert any(
                pool.uid <= line.uid
                and line.uid + line.count <= pool.uid + pool.count
                and line.uid - pool.uid == line.gid - pool.gid
                for pool in pools
            )
            assert not any(line.uid < span.start + span.count and span.start < line.uid + line.count for span in taken)
        assert {name for name, line in lines.items() if not line.released} <= set(wanted)
        for name, count in wanted.items():
            if name in found.refused:
                continue
            assert lines[name].count >= count
            assert not lines[name].released
            if name in before and before[name].count >= count and not before[name].released:
                assert lines[name] == before[name]
        assert allot(book, wanted, pools, taken).book == book or found.refused


def test_from_the_start_in_file_order() -> None:
    found = by_name(rounds({"web": 1000, "db": 24}))
    assert found == {"web": Slice("web", 100000, 200000, 1000), "db": Slice("db", 101000, 201000, 24)}


def test_a_worker_that_went_keeps_its_slice_and_has_it_again() -> None:
    found = rounds({"web": 1024, "db": 1024}, {"db": 1024}, {"db": 1024, "mail": 1024})
    assert by_name(found)["web"].released == 1
    assert by_name(found)["mail"].uid == 102048
    again = by_name(allot(found.book, {"mail": 1024, "web": 1024}, [POOL]))
    assert (again["web"].uid, again["web"].released) == (100000, 0)
    assert again["db"].released


def test_the_one_longest_gone_loses_its_slice_when_nothing_else_is_left() -> None:
    full = dict.fromkeys(NAMES[:4], 1024)
    found = rounds(full, {"web": 1024, "mail": 1024, "queue": 1024}, {"mail": 1024, "queue": 1024})
    assert (by_name(found)["db"].released, by_name(found)["web"].released) == (1, 2)
    found = allot(found.book, {"mail": 1024, "queue": 1024, "cron": 1024}, [POOL])
    (note,) = found.notes
    assert (note.kind, note.worker, note.old.worker) == ("reused", "cron", "db")
    assert "db" not in by_name(found)
    assert by_name(found)["web"].uid == 100000


def test_those_that_do_not_help_keep_their_slices() -> None:
    found = rounds(
        dict.fromkeys(NAMES[:4], 1024), {"web": 1024, "mail": 1024}, {"web": 1024, "mail": 1024, "big": 2048}
    )
    assert found.refused == ("big",)
    assert set(by_name(found)) == set(NAMES[:4])
    assert not found.notes


def test_two_that_went_for_one_that_is_bigger() -> None:
    found = rounds(
        dict.fromkeys(NAMES[:4], 1024), {"mail": 1024, "queue": 1024}, {"queue": 1024, "mail": 1024, "big": 2048}
    )
    assert {note.old.worker for note in found.notes} == {"web", "db"}
    assert by_name(found)["big"].ids == IdSlice(100000, 200000, 2048)


def test_more_ids_in_place_where_there_is_room() -> None:
    found = rounds({"web": 1000, "db": 1000}, {"web": 1000, "db": 1500})
    assert by_name(found)["db"] == Slice("db", 101000, 201000, 1500)
    assert not found.notes


def test_more_ids_elsewhere_where_there_is_not() -> None:
    found = rounds({"web": 1000, "db": 1000}, {"web": 1500, "db": 1000})
    old = Slice("web", 100000, 200000, 1000)
    assert found.notes == (Note("moved", "web", old),)
    lines = by_name(found)
    assert lines["web"].ids == IdSlice(102000, 202000, 1500)
    assert lines["web 100000"] == msgspec.structs.replace(old, worker="web 100000", released=1)  # given on last


def test_fewer_ids_are_the_first_of_those_it_had() -> None:
    assert rounds({"web": 1000}, {"web": 10}).book == rounds({"web": 1000}).book


def test_another_range_moves_everybody() -> None:
    moved = allot(rounds({"web": 1000}).book, {"web": 1000}, [IdSlice(500000, 500000, 5000)])
    assert [note.kind for note in moved.notes] == ["moved"]
    assert by_name(moved)["web"].uid == 500000


def test_users_and_groups_go_side_by_side() -> None:
    """A pool whose groups are others' users: what is busy on one side is left out on both."""
    pools = [IdSlice(0, 1000, 3000)]
    found = allot((), {"web": 500}, pools, [IdRange(1200, 10)])
    assert by_name(found)["web"].ids == IdSlice(210, 1210, 500)


@pytest.mark.parametrize("count", [1, PICK_STEP, PICK_STEP + 1])
def test_pick_is_by_name_and_aligned(count: int) -> None:
    pool = IdSlice(524288, 524288, 1000 * PICK_STEP)
    names = [f"worker-{number}" for number in range(300)]
    found = by_name(allot((), dict.fromkeys(names, count), [pool], pick=True))
    assert all(line.uid % PICK_STEP == 0 for line in found.values())
    alone = [by_name(allot((), {name: count}, [pool], pick=True))[name].uid for name in names]
    assert sum(line.uid == uid for line, uid in zip(found.values(), alone, strict=True)) > 150
    assert len(set(alone)) > 200


def test_pick_goes_on_from_what_is_taken_and_around() -> None:
    pool = IdSlice(524288, 524288, 3 * PICK_STEP)
    first = by_name(allot((), {"web": PICK_STEP}, [pool], pick=True))["web"]
    seen = {first.uid}
    taken = [IdRange(first.uid + 5, 1)]
    for _ in range(2):
        line = by_name(allot((), {"web": PICK_STEP}, [pool], taken, pick=True))["web"]
        seen.add(line.uid)
        taken.append(IdRange(line.uid, 1))
    assert seen == {524288, 524288 + PICK_STEP, 524288 + 2 * PICK_STEP}
    assert allot((), {"web": PICK_STEP}, [pool], taken, pick=True).refused == ("web",)
