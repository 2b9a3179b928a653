"""Check the host for all that a configuration needs: one line each, with the fix."""

import os
from collections.abc import Iterator, Mapping

from supervisor.host import (
    check_bridge,
    check_ids,
    check_journal,
    check_kernel,
    check_locks,
    check_quotas,
    check_seccomp,
    check_session,
    check_workers,
)
from supervisor.host.check import Check, read
from supervisor.host.facts import gather
from supervisor.host.probe import probe
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Fleet, Worker
from supervisor.spec.overlays import overlays

__all__ = ["Check", "checks"]

PLAIN = Worker(name="worker", command=("/bin/true",))  # what a worker needs that names only its command


def checks(
    fleet: Fleet | None = None, facts: HostFacts | None = None, environ: Mapping[str, str] | None = None
) -> list[Check]:
    """Run every check, in the order in which a reader would put things right.

    Without a fleet: what a worker with default settings needs. facts and environ default to this process's.
    Takes about 0.1 s: one child process tries the namespaces.
    """
    environ = os.environ if environ is None else environ
    facts = gather(environ) if facts is None else facts
    return list(_checks(fleet, facts, environ))


def _checks(fleet: Fleet | None, facts: HostFacts, environ: Mapping[str, str]) -> Iterator[Check]:
    workers = list(fleet.workers.values()) if fleet is not None else [PLAIN]
    instances = sum(worker.instances for worker in workers)
    wanted = check_kernel.wanted_namespaces(workers)
    yield check_kernel.check_python()
    yield check_kernel.check_version(os.uname().release)
    yield from check_seccomp.check_seccomp(workers, os.uname().machine)
    yield from check_kernel.check_chroot(read("/proc/self/mountinfo") or "")
    yield from check_kernel.check_sysctls(wanted)
    yield from check_quotas.check_processes(workers, facts.uid)
    if "user" in wanted:
        yield from check_kernel.check_user_namespaces(_relevant(probe(), wanted, workers), facts)
    yield from check_locks.check_seal(workers)
    yield check_locks.check_landlock(workers)
    yield from check_workers.check_id_helpers(workers, facts)
    yield from check_workers.check_pasta(workers, facts)
    yield from check_bridge.check_bridge(workers)
    yield from check_journal.check_journal(workers)
    if fleet is not None:
        yield from check_ids.check_ids(workers, facts)
    yield check_session.check_runtime_dir(environ, facts.uid)
    yield check_session.check_state_dir(environ, facts.uid)
    yield from check_session.check_systemd(environ, facts)
    own = read("/proc/self/cgroup") or ""
    yield check_session.check_cgroup(own)
    yield from check_session.check_controllers(workers, facts, own)
    yield check_session.check_descriptors(fleet or Fleet(workers={PLAIN.name: PLAIN}))
    yield from check_session.check_keys(instances, facts.uid)
    if fleet is not None:
        yield from check_workers.check_files(workers, facts)


def _relevant(trial: Mapping[str, str], wanted: Mapping[str, int], workers: list[Worker]) -> dict[str, str]:
    """Leave out of a trial the namespaces that no worker makes, and overlays where none has one."""
    kinds = {"ns.network": "net", "net.loopback": "net", "mount.propagation": "mount", "mount.proc": "mount"}
    if any(True for worker in workers for _ in overlays(worker)):
        kinds["mount.overlay"] = "mount"
    return {
        phase: answer
        for phase, answer in trial.items()
        if not phase.startswith(("ns.", "net.", "mount.")) or kinds.get(phase, phase[3:]) in wanted
    }
