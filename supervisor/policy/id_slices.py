"""Which slice of the subordinate ids is whose. Pure: the book so far and the workers of now give the book to keep.

A worker keeps its slice for as long as its name is in the configuration. One whose name has gone keeps its slice too,
since files on disk belong to those ids: it gets it back when the name comes back, and loses it to another only when
nothing else is left, the one longest gone first.
"""

import zlib
from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from supervisor.spec.facts import IdRange, IdSlice

PICK_STEP = 65536  # what a host's container managers align their ranges to (systemd.io/UIDS-GIDS)


class Slice(msgspec.Struct, frozen=True):
    """One line of the book."""

    worker: str
    uid: int
    gid: int
    count: int
    released: int = 0  # 0: the name is in the configuration; else in which turn it went

    @property
    def ids(self) -> IdSlice:
        """Without the names."""
        return IdSlice(self.uid, self.gid, self.count)


class Note(msgspec.Struct, frozen=True):
    """What an operator has to know: `moved` from its ids to others, or `reused`: has those of a worker that went."""

    kind: Literal["moved", "reused"]
    worker: str
    old: Slice


class Allotment(msgspec.Struct, frozen=True):
    """The book to keep, those for whom nothing is left, and what is worth telling."""

    book: tuple[Slice, ...]
    refused: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()


def allot(
    book: Sequence[Slice],
    wanted: Mapping[str, int],
    pools: Sequence[IdSlice],
    taken: Iterable[IdRange] = (),
    *,
    pick: bool = False,
) -> Allotment:
    """Give every worker of `wanted` (name to count of ids) its slice.

    pools: where slices come from; taken: ids that no new slice may have, of users and groups alike; pick: begin to
    search where the name's hash points, in steps of 65,536, instead of at the first free id.
    """
    space = _Space(pools, taken, pick=pick)
    turn = 1 + max((line.released for line in book), default=0)
    lines: dict[str, Slice] = {}
    notes: list[Note] = []
    refused = []
    for line in book:
        if line.worker not in wanted:
            lines[line.worker] = replace(line, released=line.released or turn)
        elif space.has(line):
            lines[line.worker] = replace(line, released=0)
        else:  # nobody may map them any more
            notes.append(Note("moved", line.worker, line))
    space.fill(lines.values())
    for worker, count in wanted.items():
        held = lines.get(worker)
        if held is not None and held.count >= count:
            continue
        if held is not None and space.has(grown := replace(held, count=count)):
            rest = IdSlice(held.uid + held.count, held.gid + held.count, count - held.count)
            if space.is_free(rest):
                lines[worker] = grown
                space.add(rest)
                continue
        former: list[Slice] = []
        found = space.find(count, worker)
        if found is None:
            found, former = _reclaim(space, lines, worker, count)
        if found is None:
            refused.append(worker)
            continue
        notes += [Note("reused", worker, line) for line in former]
        if held is not None:
            notes.append(Note("moved", worker, held))
            kept = f"{worker} {held.uid}"  # no worker's name: its files are as good as those of a worker that went
            lines[kept] = replace(held, worker=kept, released=turn)
        lines[worker] = Slice(worker, found.uid, found.gid, found.count)
        space.add(found)
    return Allotment(tuple(lines.values()), tuple(refused), tuple(notes))


def _reclaim(space: "_Space", lines: dict[str, Slice], worker: str, count: int) -> tuple[IdSlice | None, list[Slice]]:
    """Take slices of workers that went, the one longest gone first: free ids, and those who had them."""
    gone: list[Slice] = []
    found = None
    for oldest in sorted((line for line in lines.values() if line.released), key=lambda line: line.released):
        del lines[oldest.worker]
        gone.append(oldest)
        space.fill(lines.values())
        found = space.find(count, worker)
        if found is not None:
            break
    former = [line for line in gone if found is not None and _meet(line.ids, found)]
    lines |= {line.worker: line for line in gone if line not in former}
    space.fill(lines.values())
    return found, former


class _Space:
    """What is busy of each pool, as sorted (start, end) from the pool's start."""

    def __init__(self, pools: Sequence[IdSlice], taken: Iterable[IdRange], *, pick: bool) -> None:
        self._pools = pools
        self._taken = [IdSlice(span.start, span.start, span.count) for span in taken]
        self._pick = pick
        self._step = PICK_STEP if pick else 1
        self._busy: list[list[tuple[int, int]]] = []

    def fill(self, lines: Iterable[Slice]) -> None:
        """Make these busy, what is taken, and nothing else."""
        self._busy = [[] for _ in self._pools]
        for ids in (*self._taken, *(line.ids for line in lines)):
            self.add(ids)

    def add(self, ids: IdSlice) -> None:
        """Make ids busy."""
        for pool, busy in zip(self._pools, self._busy, strict=True):
            for start in {ids.uid - pool.uid, ids.gid - pool.gid}:
                if start < pool.count and start + ids.count > 0:
                    insort(busy, (start, start + ids.count))

    def has(self, line: Slice) -> bool:
        """Whether one pool has all of them, as far from its start by gid as by uid."""
        return any(
            line.uid - pool.uid == line.gid - pool.gid and 0 <= line.uid - pool.uid <= pool.count - line.count
            for pool in self._pools
        )

    def is_free(self, ids: IdSlice) -> bool:
        """Whether none of them is busy; they lie in a pool."""
        for pool, busy in zip(self._pools, self._busy, strict=True):
            start = ids.uid - pool.uid
            if 0 <= start <= pool.count - ids.count:
                return not any(first < start + ids.count and start < end for first, end in busy)
        return False

    def find(self, count: int, worker: str) -> IdSlice | None:
        """Find free ids: from the start, or from where the name's hash points to on and then from the start."""
        number = zlib.crc32(worker.encode()) if self._pick else 0
        for pool, busy in zip(self._pools, self._busy, strict=True):
            slots = max(1, pool.count // self._step)
            for first in dict.fromkeys((number % slots * self._step, 0)):
                at = self._gap(busy, first, count)
                if at + count <= pool.count:
                    return IdSlice(pool.uid + at, pool.gid + at, count)
        return None

    def _gap(self, busy: Iterable[tuple[int, int]], at: int, count: int) -> int:
        for start, end in busy:
            if start >= at + count:
                break
            if end > at:
                at = -(-end // self._step) * self._step
        return at


def _meet(one: IdSlice, other: IdSlice) -> bool:
    return any(
        first < second + other.count and second < first + one.count
        for first, second in ((one.uid, other.uid), (one.gid, other.gid))
    )
