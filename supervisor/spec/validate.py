"""What one worker's keys must agree on."""

import math
import re

from supervisor.spec import forms
from supervisor.spec.model import Namespaces, Worker, instance_names
from supervisor.spec.origin import Origin
from supervisor.spec.restart_limit import backoff_span_s
from supervisor.spec.units import format_duration


def check_worker(worker: Worker, origin: Origin) -> None:
    """Report all contradictions within an effective worker."""
    _name(worker, origin)
    _command(worker, origin)
    _rootfs(worker, origin)
    _mounts(worker, origin)
    _namespaces(worker, origin)
    _ids(worker, origin)
    _ready(worker, origin)
    _restart(worker, origin)


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


def _rootfs(worker: Worker, origin: Origin) -> None:
    rootfs = worker.rootfs
    if rootfs.kind == "dir" and rootfs.path is None:
        origin.add(("rootfs", "path"), 'missing: kind = "dir" needs it', allowed="a path on the host",
                   involves=("rootfs.kind",))  # fmt: skip
    if rootfs.kind != "dir":
        for key in ("path", "writable"):
            if getattr(rootfs, key):
                origin.add(("rootfs", key), 'only for kind = "dir"', involves=("rootfs.kind",))
    if is_new(worker.namespaces, "mount"):
        return
    reason = "needs a mount namespace of its own, and namespaces.mount is not true"
    if rootfs.kind == "dir":
        origin.add(("rootfs", "kind"), reason, involves=("namespaces.mount",))
    if worker.mounts:
        origin.add(("mounts",), reason, show_value=False, involves=("namespaces.mount",))


def _mounts(worker: Worker, origin: Origin) -> None:
    if not origin.ok("mounts"):
        return  # those left out would shift the rest
    seen: dict[str, int] = {}
    repeated: list[tuple[int, int]] = []
    for index, mount in enumerate(worker.mounts):
        first = seen.setdefault(mount.target, index)
        if first != index:
            repeated.append((index, first))
    for index, first in repeated:
        origin.add(("mounts", index, "target"), f"the same target as mounts[{first}]")


def _namespaces(worker: Worker, origin: Origin) -> None:
    namespaces = worker.namespaces
    if isinstance(namespaces.pid, str) and namespaces.user != namespaces.pid:
        # Whoever is in it would see the set-up, over whose new user namespace theirs has every capability.
        reason = "joins a pid namespace without its user namespace"
        origin.add(("namespaces", "pid"), reason, allowed=f'user = "{namespaces.pid}" beside it')
    if not worker.init and not is_new(namespaces, "pid"):
        message = "needs a pid namespace of its own: nothing else would end the whole tree of processes"
        origin.add(("init",), message, involves=("namespaces.pid",))
    if not is_new(namespaces, "uts"):
        for key in ("hostname", "domainname"):
            if getattr(worker, key) is not None:
                message = "needs a uts namespace of its own: it would rename others, too"
                origin.add((key,), message, involves=("namespaces.uts",))
    offsets = worker.time_offsets
    if (offsets.monotonic_s or offsets.boottime_s) and not is_new(namespaces, "time"):
        message = "needs namespaces.time = true"
        origin.add(("time_offsets",), message, show_value=False, involves=("namespaces.time",))


def _ids(worker: Worker, origin: Origin) -> None:
    if isinstance(worker.user, str) and re.fullmatch("[0-9]+", worker.user):
        origin.add(("user",), "a number is written without quotes", nearest=worker.user)
    for key, lines, other in (("uid_map", worker.uid_map, "gid_map"), ("gid_map", worker.gid_map, "uid_map")):
        if not lines:
            continue
        if not getattr(worker, other):
            origin.add((key,), f"needs {other}, too", involves=(other,))
        if not is_new(worker.namespaces, "user"):
            origin.add((key,), "needs a user namespace of its own", involves=("namespaces.user",))
        if origin.written_here("id_map") and origin.written_here(key):
            origin.add((key,), "excludes id_map: it is written instead of it", involves=("id_map",))
        try:
            forms.id_ranges(lines)
        except forms.FormError as error:
            origin.add((key,), str(error), allowed=error.allowed, nearest=error.nearest)


def _ready(worker: Worker, origin: Origin) -> None:
    ready = worker.ready
    if ready.kind == "tcp" and ready.address is None:
        origin.add(("ready", "address"), 'missing: kind = "tcp" needs it', allowed='"HOST:PORT"',
                   involves=("ready.kind",))  # fmt: skip
    if ready.kind != "tcp" and ready.address is not None:
        origin.add(("ready", "address"), 'only for kind = "tcp"', involves=("ready.kind",))


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
