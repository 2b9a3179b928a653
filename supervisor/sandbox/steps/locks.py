"""What the workload may not do: capabilities, and the locks that go on last."""

from supervisor.sandbox.ids import Identity
from supervisor.sandbox.steps.step import Step
from supervisor.spec.capabilities import CAPABILITIES
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Worker


def privilege_steps(worker: Worker, identity: Identity, facts: HostFacts) -> list[Step]:
    """Capabilities go in three steps. In the supervisor's own user namespace only a privileged one has any."""
    keep = 0
    for capability in worker.security.capabilities:
        keep |= 1 << CAPABILITIES.index(capability)
    listed = " ".join(worker.security.capabilities) or "none"
    user = Step("id.user", identity.described, (identity.uid, identity.gid, identity.name))
    if worker.namespaces.user is False and not facts.privileged:
        return []
    return [
        Step("cap.bound", f"keep {listed}", (keep, facts.last_cap)),
        user,
        Step("cap.drop", f"keep {listed}", (keep,)),
    ]


def lock_steps(worker: Worker) -> list[Step]:
    """In the order no_new_privs, Landlock, seccomp: each needs the one before it."""
    return [Step("lock.no_new_privs")] if worker.security.no_new_privs else []
