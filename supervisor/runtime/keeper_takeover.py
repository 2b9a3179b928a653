"""The keepers of an earlier daemon: those that live are greeted, what the dead ones left is ended."""

from typing import NamedTuple

import trio

from supervisor.runtime import cgroup_tree, keeper_records
from supervisor.runtime.cgroup_tree import CgroupTree
from supervisor.runtime.keeper_end import end_keeper
from supervisor.runtime.keeper_errors import AdoptionError, KeeperGoneError, ProtocolError
from supervisor.runtime.keeper_greeting import HeldWorker
from supervisor.runtime.keeper_leftovers import end_leftovers
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.keeper_records import Record
from supervisor.runtime.keeper_search import search
from supervisor.telemetry.bus import EventBus

GREET_TIMEOUT_S = 15.0


class Greeted(NamedTuple):
    """One that lives, and what it told. state_fd: -1 for none."""

    link: KeeperLink
    record: Record | None
    workers: list[HeldWorker]
    state_fd: int


async def take_over(path: str, directory: str, bus: EventBus) -> tuple[list[Greeted], list[CgroupTree]]:
    """Find them all: the living, the oldest first, and the cgroups of the dead that are not empty. AdoptionError.

    path: of the keeper's socket. directory: of their records; "" for none. Who cannot be talked to is ended.
    """
    records = keeper_records.find(directory) if directory else []
    found, lost = search(path, records)
    for pid in lost:
        bus.publish("keeper.died", "warning", pid=pid, error="it cannot be reached and was killed")
        await end_keeper(pid, bus, tell=True)
    greeted = [one for one in [await _greet(*pair, bus) for pair in found] if one is not None]
    held = {worker.name for one in greeted for worker in one.workers}
    for one in greeted:
        cgroup_tree.prepare(one.link.pid).sweep(held)
    left = await end_leftovers(records, held, bus)
    greeted.sort(key=lambda one: keeper_records.started(one.link.pid))
    return greeted, left


async def _greet(link: KeeperLink, record: Record | None, bus: EventBus) -> Greeted | None:
    try:
        with trio.fail_after(GREET_TIMEOUT_S):
            held, state_fd = await link.greet()
    except AdoptionError:
        link.close()
        raise
    except (KeeperGoneError, trio.TooSlowError) as error:
        pid = link.peer_pid()
        link.close()
        await end_keeper(pid, bus, tell=isinstance(error, ProtocolError))
        bus.publish("keeper.died", "warning", error=str(error) or "it does not answer and was killed")
        return None
    return Greeted(link, record, held, state_fd)
