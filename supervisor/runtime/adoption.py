"""Taking over from a dead daemon: what the keeper holds, joined with what the state says."""

import math
import os
import time
from collections.abc import Mapping

import trio

from supervisor.policy.restart import LIVE, Exited, Restart, State
from supervisor.runtime import notify_socket, pasta
from supervisor.runtime.child import Child
from supervisor.runtime.execution import PART, PROBE
from supervisor.runtime.incarnation import Incarnation
from supervisor.runtime.instance import Instance
from supervisor.runtime.keeper_greeting import HeldWorker
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.kill import kill_tree, owns_pid_namespace
from supervisor.runtime.services import Services
from supervisor.runtime.spec_digest import digest
from supervisor.runtime.state import InstanceState
from supervisor.runtime.undying import await_empty, make_unkillable
from supervisor.spec.records import Cause, ExitRecord

STRAY_TIMEOUT_S = 5.0


async def adopt(
    held: list[HeldWorker],
    states: dict[str, InstanceState],
    keeper: KeeperLink,
    instances: Mapping[str, Instance],
    services: Services,
) -> set[str]:
    """Give each held worker to its instance; end those that have none. Names of the instances that go on."""
    known = {f"{state.instance}#{state.status.incarnation}": state for state in states.values()}
    ahead = {
        f"{state.instance}#{state.status.incarnation + 1}": _about_next(state, instances) for state in states.values()
    }
    alive: dict[str, HeldWorker] = {}
    helpers: dict[str, HeldWorker] = {}  # by the incarnation that they serve
    undying: list[HeldWorker] = []
    async with trio.open_nursery() as nursery:
        for worker in held:
            state = known.get(worker.name)
            of, _, part = worker.name.partition("/")
            if part == pasta.NAME and _goes_on(known.get(of), instances):
                helpers[of] = worker
            elif state is not None and _goes_on(state, instances):
                alive[state.instance] = worker
            else:
                nursery.start_soon(_end_stray, worker, keeper, services, undying, ahead.get(of))
    taken = {name: state for name, state in states.items() if name in instances}
    for name in states.keys() - taken.keys():
        services.state.forget(name)
    for name, state in taken.items():  # all of them, before an event of one looks at the others
        instances[name].status = state.status
    for worker in undying:
        _await_end(worker, keeper, instances, services)
    held_up = await_empty(services.keepers.undying, alive, instances, services)
    for name, state in taken.items():
        instance, number = instances[name], state.status.incarnation
        if name in alive:
            incarnation = instance.incarnation = Incarnation(instance, number)
            instance.monitor.restore(state.health, state.said)
            instance.pausing.since = state.paused_at  # its cgroup has the last word
            incarnation.asked_to_stop = state.asked_to_stop
            incarnation.adopt(alive[name], keeper, state.started_at, state.exec_at)  # before the old deadline may fire
            instance.catch_up_with_stop()
            services.nursery.start_soon(incarnation.resume, alive[name], helpers.get(alive[name].name))
        elif instance.incarnation is None and state.status.state in LIVE and name not in held_up:
            # The keeper that had it is gone, and with it the exit status.
            cause: Cause = "interrupted" if state.status.state is State.CREATING else "unknown"
            instance.handle(Exited(number, ExitRecord(number, cause, time.time())))
    return set(taken)


def _about_next(state: InstanceState, instances: Mapping[str, Instance]) -> dict[str, object]:
    worker = instances[state.instance].worker.name if state.instance in instances else state.instance
    return {"worker": worker, "instance": state.instance, "incarnation": state.status.incarnation + 1}


def _goes_on(state: InstanceState | None, instances: Mapping[str, Instance]) -> bool:
    return state is not None and state.instance in instances and state.status.state in LIVE


def follow_new_specs(states: dict[str, InstanceState], instances: Mapping[str, Instance]) -> None:
    """Restart what was launched by a spec that the configuration does not hold any more."""
    for name, state in states.items():
        instance = instances.get(name)
        if instance is None or state.spec in (None, digest(instance.worker)):
            continue
        if instance.status.incarnation != state.status.incarnation:  # launched just now, by what is there now
            continue
        if instance.status.wanted and instance.may_have_child:
            instance.handle(Restart("reload"))


def _await_end(worker: HeldWorker, keeper: KeeperLink, instances: Mapping[str, Instance], services: Services) -> None:
    """A stray that was killed and is still there: its instance is unkillable until it is gone."""
    name, _, number = worker.name.partition("#")
    number, of_instance, _ = number.partition("/")
    instance = instances.get(name)
    incarnation = max(int(number), instance.status.incarnation if instance is not None else 0)
    about = {"instance": name, "incarnation": incarnation, "pid": worker.pid, "after_s": STRAY_TIMEOUT_S}
    services.bus.publish("worker.unkillable", "error", worker=instance.worker.name if instance else name, **about)
    if instance is None or of_instance or instance.incarnation is not None:
        services.nursery.start_soon(_end_stray, worker, keeper, services)
        return
    make_unkillable(instance, incarnation)
    instance.incarnation = Incarnation(instance, incarnation)
    instance.incarnation.adopt(worker, keeper, None, None)
    services.nursery.start_soon(instance.incarnation.resume, worker)


async def _end_stray(
    worker: HeldWorker,
    keeper: KeeperLink,
    services: Services,
    undying: list[HeldWorker] | None = None,
    standby: Mapping[str, object] | None = None,
) -> None:
    """Before its instance may be launched: there must never be two copies. undying: takes what lives on after a while.

    Without it this waits as long as it takes. standby: whose it is, where it was built ahead and never began.
    """
    keeper = worker.keeper or keeper
    child = Child(worker.name, worker.pid, worker.pidfd, keeper, worker.report)
    cgroup = services.keepers.cgroup_of(worker.name)
    if standby is not None and "/" not in worker.name:
        services.bus.publish("standby.dropped", "info", **standby, reason="the daemon that held it is gone")
    if worker.exit is None:
        if standby is None:
            event = "exec.stray" if f"/{PART}" in worker.name or f"/{PROBE}" in worker.name else "worker.stray"
            services.bus.publish(event, "warning", name=worker.name, pid=worker.pid)
        kill_tree(child, own_pid_namespace=owns_pid_namespace(child), cgroup=cgroup)
        with trio.move_on_after(math.inf if undying is None else STRAY_TIMEOUT_S):
            await child.exited()
        if undying is not None and not child.has_ended():
            undying.append(worker)
            return
    if cgroup is not None:
        await cgroup.finish()
    for socket in worker.kept[2:]:
        await notify_socket.drain(socket)
    await keeper.acknowledge(worker.name)
    child.close()
    for fd in worker.kept:
        os.close(fd)
