"""The filter on system calls: last of all, so that nothing of the set-up has to pass it."""

from functools import cache

from supervisor.sandbox.seccomp.default import default_profile
from supervisor.sandbox.seccomp.filter import Filter, compile_filter
from supervisor.sandbox.steps.step import Step
from supervisor.spec.capability_sets import capability_sets
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Worker


def seccomp_steps(worker: Worker, facts: HostFacts) -> list[Step]:
    """lock.seccomp: SECCOMP_FILTER_FLAG_*, whether the profile may lack what the set-up does after it, the program."""
    security = worker.security
    if security.seccomp == "off":
        return []
    kept = capability_sets(security).permitted
    if security.seccomp_profile is None:
        found = _default(security.nested_userns, facts.machine, facts.release, frozenset(kept))
    else:
        found = compile_filter(security.seccomp_profile, facts.machine, facts.release, frozenset(kept))
    unknown = security.seccomp_profile.unknown if security.seccomp_profile is not None else ()
    detail = f"{security.seccomp}: {found.calls} calls allowed, {found.instructions} instructions"
    for what, names in (("closed", found.closed), ("unknown", unknown)):
        if names:
            detail += f", {what}: {' '.join(names)}"
    strict = has_own_profile(worker)
    return [Step("lock.seccomp", detail, (found.flags, int(strict), found.program.hex()))]


def has_own_profile(worker: Worker) -> bool:
    """Whether the filter may forbid what PID 1 needs."""
    return worker.security.seccomp_profile is not None


@cache
def _default(nested: bool, machine: str, release: str, kept: frozenset[str]) -> Filter:
    return compile_filter(default_profile(nested=nested), machine, release, kept)
