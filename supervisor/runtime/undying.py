"""What an earlier daemon left, was killed, and is there still: its instance is unkillable until it is gone."""

import os
import time
from collections.abc import Container, Iterable, Mapping

import trio
from msgspec.structs import replace

from supervisor.policy.restart import Exited, State
from supervisor.runtime.cgroup import Cgroup
from supervisor.runtime.instance import Instance
from supervisor.runtime.keeper_leftovers import END_TIMEOUT_S
from supervisor.runtime.services import Services
from supervisor.spec.records import ExitRecord

PAUSE_S = 0.5  # between two looks whether its last process is gone, which needs a hang to end


def make_unkillable(instance: Instance, incarnation: int) -> None:
    """For a process of this incarnation, or of one before."""
    instance.status = replace(
        instance.status,
        state=State.UNKILLABLE,
        since=time.monotonic(),
        incarnation=incarnation,
        killed=True,
        deadline=None,
        ready_at=None,
    )


def await_empty(
    cgroups: Iterable[Cgroup], alive: Container[str], instances: Mapping[str, Instance], services: Services
) -> set[str]:
    """Tell of what lives in a dead keeper's cgroups, and wait for its end: the instances that are unkillable for it.

    alive: instances of which a keeper holds an incarnation; they go on.
    """
    found: dict[str, list[Cgroup]] = {}
    for cgroup in cgroups:
        name, _, number = os.path.basename(cgroup.path).partition("#")
        instance = instances.get(name)
        found.setdefault(name, []).append(cgroup)
        services.bus.publish(
            "worker.unkillable",
            "error",
            worker=instance.worker.name if instance else name,
            instance=name,
            incarnation=int(number) if number.isdecimal() else 0,
            pid=cgroup.some_pid(),
            after_s=END_TIMEOUT_S,
        )
        if instance is not None and name not in alive:
            incarnation = int(number) if number.isdecimal() else 0
            make_unkillable(instance, max(incarnation, instance.status.incarnation))
    held_up = {name for name in found if name in instances and name not in alive}
    for name, several in found.items():
        services.nursery.start_soon(_until_gone, several, instances[name] if name in held_up else None)
    return held_up


async def _until_gone(cgroups: list[Cgroup], instance: Instance | None) -> None:
    while not all(cgroup.remove() for cgroup in cgroups):
        for cgroup in cgroups:
            cgroup.kill()
        await trio.sleep(PAUSE_S)
    if instance is not None:
        number = instance.status.incarnation
        instance.handle(Exited(number, ExitRecord(number, "unknown", time.time())))
