"""A plan: the ordered phases that will build one sandbox, as data. Pure: the same spec and facts give the same plan."""

import msgspec

from supervisor.sandbox.ids import Identity, identify
from supervisor.sandbox.notify import with_notify
from supervisor.sandbox.steps.cgroup import cgroup_steps
from supervisor.sandbox.steps.ids import id_steps
from supervisor.sandbox.steps.limits import limit_steps, oom_steps
from supervisor.sandbox.steps.locks import lock_steps, privilege_steps
from supervisor.sandbox.steps.namespaces import name_steps, namespace_steps
from supervisor.sandbox.steps.network import attach_steps, loopback_steps
from supervisor.sandbox.steps.process import (
    attribute_steps,
    descriptor_step,
    differs_from_init,
    exec_step,
    init_steps,
    outlives_keeper,
)
from supervisor.sandbox.steps.root import root_steps
from supervisor.sandbox.steps.step import Step
from supervisor.spec.facts import HostFacts
from supervisor.spec.instances import for_instance
from supervisor.spec.model import Worker, instance_name

__all__ = ["Join", "Plan", "Step", "compile_plan"]

JOINABLE = ("user", "mount", "uts", "ipc", "network", "cgroup", "time", "pid")


class Join(msgspec.Struct, frozen=True):
    """A namespace to join before clone. owner: not it, but the user namespace that owns it."""

    kind: str
    reference: str  # worker:NAME, pid:N or path:FILE
    owner: bool = False


class Plan(msgspec.Struct, frozen=True):
    """The whole of it. First what the daemon does itself, then joins, then `clone`."""

    instance: str
    steps: tuple[Step, ...]
    joins: tuple[Join, ...]
    new_user: bool
    new_pid: bool
    uid_map: tuple[tuple[int, int, int], ...]  # inside, outside, count: for newuidmap or a privileged daemon
    gid_map: tuple[tuple[int, int, int], ...]

    @property
    def ahead(self) -> int:
        """How many steps are the daemon's own: the keeper counts from the one after them."""
        return int(self.steps[0].phase == "cgroup.create")

    @property
    def is_released(self) -> bool:
        """Whether it outlives its keeper."""
        return any(step.phase == "parent.release" for step in self.steps)

    @property
    def is_watched(self) -> bool:
        """Whether others have rights over it while it is built: those who live in the user namespace that it joins."""
        return any(join.kind == "user" and not join.owner for join in self.joins)


def compile_plan(
    worker: Worker,
    index: int | None,
    facts: HostFacts,
    *,
    terminal: bool = False,
    passed: tuple[int, ...] = (),
    standby: bool = False,
) -> Plan:
    """Compile the plan of one instance. PlanError where the ids asked for cannot be had on this host.

    index: None for the only one, whose texts are as they stand. passed: descriptors of who launches it that the
    workload gets under their numbers. standby: it is built ahead, and waits before its command.
    """
    name = instance_name(worker, index or 0)
    worker = with_notify(worker if index is None else for_instance(worker, index), name, facts)
    identity = identify(worker, facts)
    joins = joined(worker)
    spaces = worker.namespaces
    forks = worker.init is True and (bool(passed) or differs_from_init(worker, terminal=terminal))
    steps = [
        *cgroup_steps(worker, facts),
        *(
            Step("ns.join", f"{'user, the owner of ' if join.owner else ''}{join.kind} {join.reference}")
            for join in joins
        ),
        Step("clone", " ".join(kind for kind in ("user", "pid") if getattr(spaces, kind) is True) or "no namespaces"),
        Step("parent.bind"),
        *id_steps(identity),
        *oom_steps(worker),
        *namespace_steps(worker),
        *loopback_steps(worker),
        *root_steps(
            worker,
            facts,
            own=[*attach_steps(worker, name, facts), *name_steps(worker, name), *init_steps(worker, facts)],
        ),
        *workload_steps(
            worker,
            identity,
            facts,
            terminal=terminal,
            forks=forks,
            stays=worker.init is True and not forks,
            passed=passed,
            released=outlives_keeper(worker, facts),
            standby=standby,
        ),
    ]
    return Plan(
        instance=name,
        steps=tuple(steps),
        joins=tuple(joins),
        new_user=spaces.user is True,
        new_pid=spaces.pid is True,
        uid_map=identity.uid_map,
        gid_map=identity.gid_map,
    )


def workload_steps(
    worker: Worker,
    identity: Identity,
    facts: HostFacts,
    *,
    terminal: bool,
    forks: bool,
    stays: bool,
    passed: tuple[int, ...] = (),
    released: bool = False,
    standby: bool = False,
) -> list[Step]:
    """From inside the sandbox on: what the workload is made of, and a command executed beside it too."""
    return [
        *([Step("init.fork")] if forks else []),
        Step("session.new", "terminal" if terminal else "", (int(terminal),)),
        Step("cwd.enter", worker.working_dir, (worker.working_dir,)),
        *limit_steps(worker, facts),
        *privilege_steps(worker, identity, facts),
        *([Step("parent.release")] if released else []),
        descriptor_step(worker, passed),
        *attribute_steps(worker),
        *lock_steps(worker, facts, standby=standby),
        exec_step(worker, facts, stays=stays),
    ]


def joined(worker: Worker) -> list[Join]:
    """For each target once its owner's user namespace first: joining after one's own new one is EPERM."""
    wanted: dict[str, str] = {
        kind: value
        for kind in JOINABLE
        if isinstance(value := (worker.network.mode if kind == "network" else getattr(worker.namespaces, kind)), str)
        and ":" in value
    }
    joins: list[Join] = []
    entered = {wanted["user"]} if "user" in wanted else set()
    for kind, reference in wanted.items():
        if kind != "user" and reference not in entered:
            joins.append(Join(kind, reference, owner=True))
            entered.add(reference)
        joins.append(Join(kind, reference))
    return joins
