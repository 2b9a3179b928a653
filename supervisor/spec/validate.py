"""What one worker's keys must agree on."""

import math

from supervisor.spec import forms
from supervisor.spec.check_cgroup import check_cgroup
from supervisor.spec.check_ids import check_ids
from supervisor.spec.check_limits import check_limits
from supervisor.spec.check_locks import check_locks
from supervisor.spec.check_mounts import check_mounts
from supervisor.spec.check_network import check_network
from supervisor.spec.check_probes import check_probes
from supervisor.spec.check_rootfs import check_rootfs
from supervisor.spec.check_seccomp import check_seccomp
from supervisor.spec.check_standby import check_standby
from supervisor.spec.model import Namespaces, Worker, instance_names
from supervisor.spec.origin import Origin
from supervisor.spec.restart_limit import backoff_span_s
from supervisor.spec.units import format_duration


def check_worker(worker: Worker, origin: Origin) -> None:
    """Report all contradictions within an effective worker."""
    _name(worker, origin)
    _command(worker, origin)
    check_rootfs(worker, origin)
    check_mounts(worker, origin)
    _namespaces(worker, origin)
    check_ids(worker, origin)
    check_probes(worker, origin)
    _restart(worker, origin)
    check_locks(worker, origin)
    check_seccomp(worker, origin)
    check_limits(worker, origin)
    check_cgroup(worker, origin)
    check_network(worker, origin)
    check_standby(worker, origin)


def is_new(namespaces: Namespaces, kind: str) -> bool:
    """Whether the namespace is the worker's own: neither the supervisor's nor joined."""
    return getattr(namespaces, kind) is True


def _name(worker: Worker, origin: Origin) -> None:
    try:
        forms.worker_name(worker.name)
    except forms.FormError as error:
        origin.add((), str(error), allowed=error.allowed, nearest=error.nearest, show_value=False)
        return
    longest = instance_names(worker)[-1]
    if len(longest) > forms.LONGEST_LABEL:
        message = f"the instance's name {longest} is {len(longest)} characters long"
        origin.add((), message, allowed=f"at most {forms.LONGEST_LABEL}", show_value=False, involves=("instances",))


def _command(worker: Worker, origin: Origin) -> None:
    if not origin.written("command"):
        origin.add(("command",), "missing", allowed='an array of strings, such as ["/usr/bin/sleep", "60"]')
    elif not worker.command:
        origin.add(("command",), "empty", allowed='an array of strings, such as ["/usr/bin/sleep", "60"]')
    elif not worker.command[0].strip():
        origin.add(("command", 0), "empty", allowed="a program's path or name")


def _namespaces(worker: Worker, origin: Origin) -> None:
    namespaces = worker.namespaces
    if isinstance(namespaces.pid, str) and namespaces.user != namespaces.pid:
        # Whoever is in it would see the set-up, over whose new user namespace theirs has every capability.
        reason = "joins a pid namespace without its user namespace"
        origin.add(("namespaces", "pid"), reason, allowed=f'user = "{namespaces.pid}" beside it')
    if worker.init is not True and not is_new(namespaces, "pid"):
        message = "needs a pid namespace of its own: nothing else would end the whole tree of processes"
        origin.add(("init",), message, involves=("namespaces.pid",))
    if worker.init == "static" and isinstance(namespaces.mount, str):
        message = "cannot be with a mount namespace that is joined: the host's program would be looked for in there"
        origin.add(("init",), message, allowed="true or false", involves=("namespaces.mount",))
    if not is_new(namespaces, "uts"):
        for key in ("hostname", "domainname"):
            if getattr(worker, key) is not None:
                message = "needs a uts namespace of its own: it would rename others, too"
                origin.add((key,), message, involves=("namespaces.uts",))
    offsets = worker.time_offsets
    if (offsets.monotonic_s or offsets.boottime_s) and not is_new(namespaces, "time"):
        message = "needs namespaces.time = true"
        origin.add(("time_offsets",), message, show_value=False, involves=("namespaces.time",))


def _restart(worker: Worker, origin: Origin) -> None:
    restart = worker.restart
    delays = ("restart.delay", "restart.factor", "restart.max_delay", "restart.jitter")
    if restart.delay_s > restart.max_delay_s and origin.written("restart", "delay"):
        key = "max_delay" if origin.written("restart", "max_delay") else "delay"
        longest, first = format_duration(restart.max_delay_s), format_duration(restart.delay_s)
        origin.add(("restart", key), f'max_delay is "{longest}", shorter than delay, "{first}"', involves=delays)
    if restart.max_restarts is not None and restart.window_s is None:
        origin.add(("restart", "max_restarts"), "needs restart.window", involves=("restart.window",))
    if restart.window_s is not None and restart.max_restarts is None:
        origin.add(("restart", "window"), "needs restart.max_restarts", involves=("restart.max_restarts",))
    if restart.max_restarts is None or restart.window_s is None:
        return
    span_s = backoff_span_s(restart, restart.max_restarts)
    if span_s >= restart.window_s:
        window, least = format_duration(restart.window_s), format_duration(math.ceil(span_s * 10) / 10)
        message = f'can never be reached: the backoff spreads so many restarts over {least}, and window is "{window}"'
        origin.add(("restart", "max_restarts"), message, allowed=f'fewer, or a window longer than "{least}"',
                   involves=("restart.window", *delays))  # fmt: skip
