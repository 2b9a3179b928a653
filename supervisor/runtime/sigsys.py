"""What to say of a worker that died of SIGSYS."""

import trio

from supervisor.host.refused_call import refused_call
from supervisor.sandbox.hints_seccomp import DIED
from supervisor.sandbox.plan import Plan
from supervisor.spec.facts import HostFacts

TRIES, BETWEEN_S = 5, 0.02  # the kernel writes its record from a thread of its own


async def explain_sigsys(ended_at: float, plan: Plan | None, facts: HostFacts) -> tuple[str | None, str]:
    """The system call, where the kernel's log tells it, and a hint. plan: None where an earlier daemon launched it."""
    if plan is None:
        return None, DIED
    uids = [(outside, count) for _, outside, count in plan.uid_map] or [(facts.uid, 1)]
    for _ in range(TRIES):
        call = refused_call(ended_at, uids)
        if call:
            return call, DIED
        await trio.sleep(BETWEEN_S)
    return None, DIED
