"""The plan of a command executed in the sandbox of a running worker: into its namespaces, then the worker's locks."""

import msgspec
from msgspec.structs import replace

from supervisor.sandbox.ids import Identity, identify, wanted_ids
from supervisor.sandbox.plan import JOINABLE, Join, Plan, joined, workload_steps
from supervisor.sandbox.steps.step import Step
from supervisor.spec.facts import HostFacts
from supervisor.spec.instances import for_instance
from supervisor.spec.model import Worker, instance_name


class Command(msgspec.Struct, frozen=True):
    """What is to be executed, and in what it differs from the worker. Env is on top of the worker's."""

    words: tuple[str, ...]
    env: dict[str, str] = msgspec.field(default_factory=dict)
    working_dir: str | None = None
    user: str | int | None = None  # self, root, a name inside or a number
    terminal: bool = False


def compile_exec(worker: Worker, index: int, facts: HostFacts, command: Command) -> Plan:
    """Compile it for one instance. PlanError where its ids cannot be had.

    The process is the keeper's child and not the sandbox's PID 1. Where no pid namespace would end what it leaves
    behind, a process of ours stays above it, as it does above the worker.
    """
    own = for_instance(worker, index)
    name = instance_name(worker, index)
    identity = _identity(own, facts, command)
    meant = replace(
        own,
        command=command.words,
        env={**own.env, **command.env},
        working_dir=command.working_dir or own.working_dir,
        init=False,
    )
    joins = _joins(own, f"worker:{name}")
    steps = [
        *(
            Step("ns.join", f"{'user, the owner of ' if join.owner else ''}{join.kind} {join.reference}")
            for join in joins
        ),
        Step("clone", "no namespaces"),
        Step("parent.bind"),
        *_root_steps(identity, facts),
        *workload_steps(
            meant,
            identity,
            facts,
            terminal=command.terminal,
            forks=own.namespaces.pid is not True,
            stays=False,
        ),
    ]
    return Plan(
        instance=name,
        steps=tuple(steps),
        joins=joins,
        new_user=False,
        new_pid=False,
        uid_map=(),
        gid_map=(),
    )


def _joins(worker: Worker, reference: str) -> tuple[Join, ...]:
    """What the worker itself joined, in its order, for its own user namespace has no rights there; then its own.

    The root last: the keeper's /proc tells of the clocks of a time namespace.
    """
    shared = [replace(join, reference=reference) for join in joined(worker)]
    apart = {join.kind for join in shared if not join.owner}
    own = [Join(kind, reference) for kind in JOINABLE if kind not in apart and _is_its_own(worker, kind)]
    return (*shared, *sorted(own, key=lambda join: join.kind == "mount"))


def _is_its_own(worker: Worker, kind: str) -> bool:
    return worker.network.mode != "host" if kind == "network" else getattr(worker.namespaces, kind) is True


def _identity(worker: Worker, facts: HostFacts, command: Command) -> Identity:
    identity = identify(worker, facts)
    if command.user is None:
        return identity
    uid, gid, name = wanted_ids(replace(worker, user=command.user), facts)
    return replace(identity, uid=uid, gid=gid, name=name, group=None, groups=None)


def _root_steps(identity: Identity, facts: HostFacts) -> list[Step]:
    """Of the maps nothing is left to do; the id that built the sandbox looks up paths in it, not the keeper's."""
    if not identity.mapped:
        return []
    root = (identity.root_uid, identity.root_gid)
    return [Step("id.root", f"uid {root[0]} gid {root[1]}", (*root, facts.last_cap))]
