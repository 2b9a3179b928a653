"""What keepers that are gone have left in their cgroups: nobody holds it, and nobody can adopt it any more."""

import os
import sys
from collections.abc import Collection, Iterable, Mapping

import trio

from supervisor.runtime import keeper_records
from supervisor.runtime.cgroup_tree import CgroupTree, of_dead
from supervisor.runtime.directories import DirectoryError, private_directory
from supervisor.runtime.keeper_records import Record
from supervisor.runtime.lock import LockedError, lock
from supervisor.spec import paths
from supervisor.telemetry.bus import EventBus
from supervisor.telemetry.setup import configure

END_TIMEOUT_S = 5.0
SWEEP_TIMEOUT_S = 1.0  # the next daemon waits for this process, and has a time-out of its own


async def end_leftovers(
    records: Iterable[Record], held: Collection[str], bus: EventBus, timeout_s: float = END_TIMEOUT_S
) -> list[CgroupTree]:
    """End it, and forget the keepers' records: the trees that are not empty then, or after the time-out.

    held: names of incarnations that are another keeper's by now.
    """
    kept: list[CgroupTree] = []
    for record in records:
        if record.is_held():
            continue
        if record.known is not None and record.known.cgroup:
            tree = of_dead(record.known.cgroup)
            for name in await tree.end(held, timeout_s):
                bus.publish("worker.stray", "warning", name=name, pid=0)
            if not tree.is_empty():
                kept.append(tree)
                continue
        record.remove()
    return kept


def sweep(environ: Mapping[str, str]) -> int:
    """`nsvisor daemon --sweep`: as a daemon does when it starts. Exit status.

    Nothing is done where a daemon lives, or a keeper: it may hold what another keeper has launched.
    """
    try:
        state = private_directory(paths.state_dir(environ, os.geteuid()))
        held = lock(os.path.join(state, "daemon.lock"), "XDG_STATE_HOME")
    except LockedError:
        return 0
    except DirectoryError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        records = keeper_records.find(os.path.join(state, "keepers"))
        if any(record.is_held() for record in records):
            return 0
        configure("info")
        return int(bool(trio.run(end_leftovers, records, (), EventBus("info"), SWEEP_TIMEOUT_S)))
    finally:
        os.close(held)
