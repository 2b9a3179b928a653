"""What the workload may not do: capabilities, and the locks that go on last."""

from supervisor.sandbox.ids import Identity, PlanError
from supervisor.sandbox.steps.seccomp import has_own_profile, seccomp_steps
from supervisor.sandbox.steps.step import Step
from supervisor.spec.capability_sets import capability_sets, listed, mask
from supervisor.spec.facts import HostFacts
from supervisor.spec.locks import restricts, seals
from supervisor.spec.model import Worker


def seal_steps(worker: Worker) -> list[Step]:
    """userns.seal: before capabilities go, and before /proc/sys is read-only."""
    mounts_of = "worker" if isinstance(worker.namespaces.mount, str) else "host"
    return [Step("userns.seal", "", (mounts_of,))] if seals(worker) else []


def privilege_steps(worker: Worker, identity: Identity, facts: HostFacts) -> list[Step]:
    """Capabilities go in three steps. In the supervisor's own user namespace only a privileged one has any."""
    sets = capability_sets(worker.security)
    last = facts.last_cap
    permitted, bounding, inheritable, ambient = (
        mask(names, last) for names in (sets.permitted, sets.bounding, sets.inheritable, sets.ambient)
    )
    if worker.namespaces.user is False and not facts.privileged:
        if permitted:
            message = "capabilities need a user namespace of the worker's own: namespaces.user is false"
            raise PlanError("cap.drop", "EPERM", f"keep {listed(sets.permitted)}", message)
        return []
    detail = f"keep {listed(sets.permitted)}"
    for name, names in (("inheritable", sets.inheritable), ("ambient", sets.ambient)):
        if names != sets.permitted:
            detail += f", {name} {listed(names)}"
    return [
        Step("cap.bound", f"keep {listed(sets.bounding)}", (bounding, last)),
        Step("id.user", identity.described, identity.user_arguments),
        Step("cap.drop", detail, (permitted, inheritable, ambient)),
    ]


def lock_steps(worker: Worker, facts: HostFacts, *, standby: bool = False) -> list[Step]:
    """In the order no_new_privs, Landlock, seccomp: each needs the one before it.

    A standby waits behind them all, but before a filter of the worker's own, which need not allow what it waits by.
    """
    steps = [Step("lock.no_new_privs")] if worker.security.no_new_privs else []
    waits = [Step("standby.wait")] if standby else []
    filters = seccomp_steps(worker, facts)
    return [*steps, *_landlock_steps(worker), *([*waits, *filters] if has_own_profile(worker) else [*filters, *waits])]


def _landlock_steps(worker: Worker) -> list[Step]:
    """Arguments: required, RLIMIT_NOFILE, then kind and value in turn; the value "" says that the kind is restricted.

    The limit of descriptors is set on the way, once the paths have been opened.
    """
    if not restricts(worker):
        return []
    landlock = worker.security.landlock
    nofile = worker.limits.nofile
    arguments: list[str | int] = [int(landlock.required), "" if nofile is None else nofile]
    words = []
    for key in ("read", "write", "execute", "connect_tcp", "bind_tcp"):
        values = getattr(landlock, key)
        if values is None:
            continue
        arguments += [key, ""]
        arguments += [word for value in values for word in (key, value)]
        words.append(f"{key} {' '.join(map(str, values)) or 'nothing'}")
    for key in ("abstract_sockets", "signals"):
        if not getattr(landlock, key):
            arguments += [key, ""]
            words.append(f"no {key.replace('_', ' ')} outside")
    return [Step("lock.landlock", ", ".join(words), tuple(arguments))]
