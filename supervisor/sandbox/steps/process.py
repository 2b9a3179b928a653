"""The workload's process: whether it is one apart from PID 1, its session, its execve."""

import os.path

from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.steps.limits import rlimits
from supervisor.sandbox.steps.seccomp import has_own_profile
from supervisor.sandbox.steps.step import Step
from supervisor.spec.facts import HostFacts
from supervisor.spec.locks import restricts
from supervisor.spec.model import Worker

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SOFT_NOFILE = 1024  # what programs that use select(2) rely on; the hard limit stays (systemd does the same)


def differs_from_init(worker: Worker, *, terminal: bool) -> bool:
    """Say whether the workload needs a process apart from PID 1 before it executes.

    Resource limits, Landlock, a seccomp profile of one's own and capabilities would be PID 1's too, a terminal is its
    session leader's, only a pid namespace ends the workload with its PID 1, and vfork(2) into a new time namespace was
    EINVAL before Linux 6.1.
    Else PID 1 makes all that the workload is to be of itself, and spawns it by vfork: no memory is copied.
    """
    spaces = worker.namespaces
    apart = terminal or bool(worker.security.capabilities) or bool(rlimits(worker.limits)) or restricts(worker)
    return apart or has_own_profile(worker) or spaces.pid is not True or spaces.time is not False


def outlives_keeper(worker: Worker, facts: HostFacts) -> bool:
    """Say whether its keeper's death is to leave it alive.

    Its cgroup has to end all of it, and nothing that it needs may go with the keeper: pasta, which is the keeper's
    child; the lock on an overlay's upper directory, which the keeper holds; the sandbox whose namespaces it joins.
    """
    if not facts.outlives_keeper or worker.namespaces.pid is not True or worker.network.mode == "pasta":
        return False
    spaces = worker.namespaces
    modes = (worker.network.mode, *(getattr(spaces, field) for field in spaces.__struct_fields__))
    if any(isinstance(mode, str) and ":" in mode for mode in modes):
        return False
    return worker.rootfs.kind != "overlay" and all(mount.type != "overlay" for mount in worker.mounts)


def init_steps(worker: Worker, facts: HostFacts) -> list[Step]:
    """init.open, where PID 1 is a program of the host's. PlanError where there is none (any more)."""
    if worker.init != "static":
        return []
    if not facts.static_init:
        raise PlanError("init.open", "ENOENT", "catatonit", 'init = "static", and this host has no static init')
    return [Step("init.open", facts.static_init, (facts.static_init,))]


def descriptor_step(worker: Worker, passed: tuple[int, ...] = ()) -> Step:
    """fd.close."""
    kept = ", ".join(["keep 0-2", *map(str, passed)])
    return Step("fd.close", kept, (SOFT_NOFILE if worker.limits.nofile is None else "", *passed))


def attribute_steps(worker: Worker) -> list[Step]:
    """process.umask and process.personality, where they are asked for."""
    steps = [] if worker.umask is None else [Step("process.umask", worker.umask, (worker.umask,))]
    if worker.personality:
        steps.append(Step("process.personality", " ".join(worker.personality), worker.personality))
    return steps


def exec_step(worker: Worker, facts: HostFacts, *, stays: bool) -> Step:
    """Its environment is built from nothing."""
    environment = {"PATH": DEFAULT_PATH, "HOME": _home(worker, facts), "LANG": "C.UTF-8"}
    if facts.timezone:
        environment["TZ"] = facts.timezone
    environment |= worker.env
    words = [f"{key}={value}" for key, value in environment.items()]
    init = os.path.basename(facts.static_init) if worker.init == "static" else int(stays)
    return Step("exec", " ".join(worker.command), (init, len(worker.command), *worker.command, *words))


def _home(worker: Worker, facts: HostFacts) -> str:
    """A place that exists and, in the host view, can be written to."""
    if worker.namespaces.mount is False:
        return facts.home
    return "/tmp" if worker.rootfs.kind == "host" else "/"
