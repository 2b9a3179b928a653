"""The book of slices: which ids are which worker's, in the state directory, and locked while they may be in use."""

import os
from collections.abc import Callable, Mapping

import msgspec

from supervisor.host import id_pools
from supervisor.policy.id_slices import Allotment, Slice, allot
from supervisor.runtime.id_book_file import BookError, read, write
from supervisor.runtime.id_locks import Locks
from supervisor.spec.facts import HostFacts, IdRange, IdSlice
from supervisor.spec.model import Fleet, Worker

TRIES = 64

Publish = Callable[..., None]


class IdBook:
    """One for a daemon. `assign` at start and at each reload."""

    def __init__(self, state_directory: str, uid: int) -> None:
        self._path = os.path.join(state_directory, "ids.json")
        self.locks = Locks(state_directory, uid)
        self._held: dict[str, Slice] = {}  # locked by this process

    def assign(self, fleet: Fleet, facts: HostFacts, publish: Publish) -> HostFacts:
        """Facts with a slice for each worker with id_map = "auto", or why it has none. Nobody else is asked."""
        wanted = wanted_ids(fleet.workers, facts)
        if not wanted and not os.path.exists(self._path):
            return facts
        try:
            before = read(self._path)
            found = self._allot(before, wanted, facts)
            if found.book != before:
                write(self._path, found.book)
            assigned = self._lock(found, wanted, facts)
        except (BookError, OSError) as error:
            words = str(error) if isinstance(error, BookError) else f"cannot write {self._path}: {error.strerror}"
            publish("ids.failed", "error", error=words)
            return self._as_before(wanted, words, facts)
        for note in found.notes:
            publish(
                "ids.moved" if note.kind == "moved" else "ids.reused",
                "warning",
                worker=note.worker,
                uid=note.old.uid,
                gid=note.old.gid,
                count=note.old.count,
                former=note.old.worker,
            )
        return assigned

    def _as_before(self, wanted: Mapping[str, int], words: str, facts: HostFacts) -> HostFacts:
        """Those that have enough ids keep them; nobody gets any that are not on disk."""
        slices = {
            worker: IdSlice(line.uid, line.gid, wanted[worker])
            for worker, line in self._held.items()
            if worker in wanted and line.count >= wanted[worker]
        }
        errors = {worker: ("EIO", words) for worker in wanted if worker not in slices}
        return msgspec.structs.replace(facts, slices=slices, slice_errors=errors)

    def _allot(self, before: tuple[Slice, ...], wanted: Mapping[str, int], facts: HostFacts) -> Allotment:
        """Again, as long as a new slice turns out to be somebody's."""
        pools = id_pools.pools(facts)
        taken = list(id_pools.taken(facts))
        known = {line.ids for line in before}
        while True:
            found = allot(before, wanted, pools, taken, pick=id_pools.picks(facts))
            fresh = [line for line in found.book if line.ids not in known and line.worker not in self._held]
            bad = [line for line in fresh if not self._may_have(line, facts)]
            if not bad:
                return found
            taken += [IdRange(line.uid, line.count) for line in bad]

    def _may_have(self, line: Slice, facts: HostFacts) -> bool:
        if id_pools.picks(facts) and id_pools.account_at(line.ids):
            return False
        return self.locks.is_free(line.ids)

    def _lock(self, found: Allotment, wanted: Mapping[str, int], facts: HostFacts) -> HostFacts:
        lines = {line.worker: line for line in found.book if line.worker in wanted}
        for worker, line in self._held.items():
            if lines.get(worker) != line:
                self.locks.release(line.ids)
        slices: dict[str, IdSlice] = {}
        errors = {worker: ("ENOSPC", _used_up(wanted[worker], facts)) for worker in found.refused}
        self._held = {}
        for worker, line in lines.items():
            if worker in errors:
                continue
            if self.locks.take(line.ids):
                self._held[worker] = line
                slices[worker] = IdSlice(line.uid, line.gid, wanted[worker])
            else:
                text = f"ids {line.uid} to {line.uid + line.count - 1} are in use by another nsvisor of this user"
                errors[worker] = ("EBUSY", text)
        return msgspec.structs.replace(facts, slices=slices, slice_errors=errors)

    def close(self) -> None:
        """Let go of the locks."""
        self.locks.close()


def preview(fleet: Fleet, facts: HostFacts, state_directory: str) -> HostFacts:
    """What a daemon would assign; nothing is written or locked."""
    wanted = wanted_ids(fleet.workers, facts)
    if not wanted:
        return facts
    try:
        book = read(os.path.join(state_directory, "ids.json"))
    except BookError as error:
        return _without(facts, dict.fromkeys(wanted, ("EIO", str(error))))
    found = allot(book, wanted, id_pools.pools(facts), id_pools.taken(facts), pick=id_pools.picks(facts))
    slices = {
        line.worker: IdSlice(line.uid, line.gid, wanted[line.worker]) for line in found.book if line.worker in wanted
    }
    errors = {worker: ("ENOSPC", _used_up(wanted[worker], facts)) for worker in found.refused}
    kept = {worker: ids for worker, ids in slices.items() if worker not in errors}
    return msgspec.structs.replace(facts, slices=kept, slice_errors=errors)


def borrow(worker: Worker, facts: HostFacts, state_directory: str) -> HostFacts:
    """A slice for as long as this process lives, for `nsvisor run`: no worker's of the book, and nobody's who runs."""
    wanted = wanted_ids({worker.name: worker}, facts)
    if not wanted:
        return facts
    name, count = worker.name, wanted[worker.name]
    pools, pick = id_pools.pools(facts), id_pools.picks(facts)
    try:
        book = read(os.path.join(state_directory, "ids.json"))
        locks = Locks(state_directory, facts.uid)
    except (BookError, OSError) as error:
        return _without(facts, {name: ("EIO", str(error))})
    taken = [*id_pools.taken(facts), *(IdRange(start, line.count) for line in book for start in {line.uid, line.gid})]
    if not pick:  # from the end: a daemon begins at the start
        pools = tuple(part for pool in pools for part in _parts(pool, count))
    for _ in range(TRIES):
        mine = next(iter(allot((), {name: count}, pools, taken, pick=pick).book), None)
        if mine is None:
            break
        if not (pick and id_pools.account_at(mine.ids)) and locks.take(mine.ids):
            return msgspec.structs.replace(facts, slices={name: mine.ids})  # the lock is never given back
        taken.append(IdRange(mine.uid, count))
    return _without(facts, {name: ("ENOSPC", _used_up(count, facts))})


def _parts(pool: IdSlice, count: int) -> list[IdSlice]:
    """Cut into slices, the last one first."""
    starts = range(0, pool.count - count + 1, count)
    return [IdSlice(pool.uid + start, pool.gid + start, count) for start in reversed(starts)]


def wanted_ids(workers: Mapping[str, Worker], facts: HostFacts) -> dict[str, int]:
    """By worker, how many ids it is to have of its own."""
    return {
        name: worker.id_count or id_pools.default_count(facts)
        for name, worker in workers.items()
        if worker.id_map == "auto" and not worker.uid_map and worker.namespaces.user is True
    }


def _used_up(count: int, facts: HostFacts) -> str:
    if id_pools.picks(facts):
        return f"no {count} ids are left of those for containers that this user namespace has"
    missing = [kind for kind, spans in (("uid", facts.subuids), ("gid", facts.subgids)) if not spans]
    if missing:
        return f"/etc/sub{missing[0]} gives {facts.user or facts.uid} no subordinate {missing[0]}s"
    total = sum(pool.count for pool in id_pools.pools(facts))
    return f"no {count} ids in a row are left of the {total} subordinate ids of {facts.user or facts.uid}"


def _without(facts: HostFacts, errors: dict[str, tuple[str, str]]) -> HostFacts:
    return msgspec.structs.replace(facts, slices={}, slice_errors=errors)
