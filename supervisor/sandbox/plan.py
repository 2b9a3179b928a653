"""A plan: the ordered phases that will build one sandbox, as data. Pure: the same spec and facts give the same plan."""

import msgspec

from supervisor.sandbox.ids import Identity, identify
from supervisor.sandbox.view import host_view, needs_private_tmp
from supervisor.spec.capabilities import CAPABILITIES
from supervisor.spec.facts import HostFacts
from supervisor.spec.instances import for_instance
from supervisor.spec.model import Limits, Mount, Worker, instance_names

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the design gives every sandbox by default and this release does not build yet.
MISSING = (
    "mount.mask: masked and read-only paths below /proc",
    "userns.seal: no further user namespaces inside",
    "lock.seccomp: the default profile",
)
SOFT_NOFILE = 1024  # what programs that use select(2) rely on; the hard limit stays (systemd does the same)
JOINABLE = ("user", "mount", "uts", "ipc", "network", "cgroup", "time", "pid")


class Step(msgspec.Struct, frozen=True):
    """One phase: its name, what it is about (a path, a map, an address), its operation's arguments."""

    phase: str
    detail: str = ""
    arguments: tuple[str | int, ...] = ()


class Join(msgspec.Struct, frozen=True):
    """A namespace to join before clone. owner: not it, but the user namespace that owns it."""

    kind: str
    reference: str  # worker:NAME, pid:N or path:FILE
    owner: bool = False


class Plan(msgspec.Struct, frozen=True):
    """The whole of it. Joins are the first steps, `clone` is the next."""

    instance: str
    steps: tuple[Step, ...]
    joins: tuple[Join, ...]
    new_user: bool
    new_pid: bool
    uid_map: tuple[tuple[int, int, int], ...]  # inside, outside, count: for newuidmap or a privileged daemon
    gid_map: tuple[tuple[int, int, int], ...]
    missing: tuple[str, ...] = MISSING


def compile_plan(worker: Worker, index: int, facts: HostFacts, *, terminal: bool = False) -> Plan:
    """Compile the plan of one instance. PlanError where the ids asked for cannot be had on this host."""
    worker = for_instance(worker, index)
    name = instance_names(worker)[index]
    identity = identify(worker, facts)
    joins = _joins(worker)
    spaces = worker.namespaces
    forks = worker.init and _differs_from_init(worker, terminal=terminal)
    steps = [
        *(
            Step("ns.join", f"{'user, the owner of ' if join.owner else ''}{join.kind} {join.reference}")
            for join in joins
        ),
        Step("clone", " ".join(kind for kind in ("user", "pid") if getattr(spaces, kind) is True) or "no namespaces"),
        Step("parent.bind"),
        *_id_steps(identity),
        *_namespace_steps(worker, name),
        *(_mount_steps(worker, facts) if spaces.mount is True else ()),
        *([Step("init.fork")] if forks else []),
        Step("session.new", "terminal" if terminal else "", (int(terminal),)),
        Step("cwd.enter", worker.working_dir, (worker.working_dir,)),
        *_limit_steps(worker),
        *_privilege_steps(worker, identity, facts),
        Step("fd.close", "keep 0-2", (SOFT_NOFILE if worker.limits.nofile is None else "",)),
        *([Step("lock.no_new_privs")] if worker.security.no_new_privs else []),
        _exec_step(worker, facts, stays=worker.init and not forks),
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


def _joins(worker: Worker) -> list[Join]:
    """For each target once its owner's user namespace first: joining after one's own new one is EPERM."""
    wanted: dict[str, str] = {
        kind: value
        for kind in JOINABLE
        if isinstance(value := (worker.network.mode if kind == "network" else getattr(worker.namespaces, kind)), str)
        and value not in ("none", "host")
    }
    joins: list[Join] = []
    entered = {wanted["user"]} if "user" in wanted else set()
    for kind, reference in wanted.items():
        if kind != "user" and reference not in entered:
            joins.append(Join(kind, reference, owner=True))
            entered.add(reference)
        joins.append(Join(kind, reference))
    return joins


def _id_steps(identity: Identity) -> list[Step]:
    if not identity.mapped:
        return []
    if identity.by_itself:
        detail = f"uid {identity.uid} gid {identity.gid}, written by itself"
        steps = [Step("id.map", detail, ("self", identity.uid, identity.gid))]
    else:
        uid_map, gid_map = (_lines(lines) for lines in (identity.uid_map, identity.gid_map))
        steps = [Step("id.map", f"uid {uid_map} gid {gid_map}", ("outside", uid_map, gid_map))]
    root = f"uid {identity.root_uid} gid {identity.root_gid}"
    return [*steps, Step("id.root", root, (identity.root_uid, identity.root_gid))]


def _lines(lines: tuple[tuple[int, int, int], ...]) -> str:
    return ",".join(":".join(map(str, line)) for line in lines)


def _namespace_steps(worker: Worker, name: str) -> list[Step]:
    spaces = worker.namespaces
    offsets = worker.time_offsets
    kinds = {
        "mount": spaces.mount,
        "uts": spaces.uts,
        "ipc": spaces.ipc,
        "network": worker.network.mode == "none",
        "cgroup": spaces.cgroup,
        "time": spaces.time,
    }
    steps = [Step(f"ns.{kind}") for kind, value in kinds.items() if value is True]
    if spaces.time is True:
        text = f"monotonic {offsets.monotonic_s} s, boottime {offsets.boottime_s} s"
        steps.append(Step("time.offsets", text, (offsets.monotonic_s, offsets.boottime_s)))
    if worker.network.mode == "none":
        steps.append(Step("net.loopback"))
    if spaces.uts is True:
        host = worker.hostname or name
        steps.append(Step("uts.hostname", host, (host,)))
        if worker.domainname is not None:
            steps.append(Step("uts.domainname", worker.domainname, (worker.domainname,)))
    return steps


def _mount_steps(worker: Worker, facts: HostFacts) -> list[Step]:
    rootfs = worker.rootfs
    steps = [Step("mount.propagation", "/ slave, recursively")]
    if rootfs.kind == "dir":
        path = rootfs.path or ""
        steps.append(Step("rootfs.prepare", f"dir {path}", ("dir", path, int(rootfs.writable))))
    else:
        steps.append(Step("rootfs.prepare", "host, a read-only view", ("host", *host_view(facts))))
    steps.append(Step("mount.dev", "/dev", facts.device_nodes))
    steps.append(_proc_step(worker))
    if needs_private_tmp(worker):
        steps.append(Step("mount.tmpfs", "/tmp", ("/tmp", "", "1777")))
    steps += [_user_mount(mount) for mount in worker.mounts]
    if rootfs.kind != "dir" or not rootfs.writable:
        steps.append(Step("rootfs.seal", "/ read-only"))
    return [*steps, Step("root.pivot")]


def _proc_step(worker: Worker) -> Step:
    """A fresh one shows the pid namespace, and may be mounted by those who own it: the host's is bound instead."""
    if worker.namespaces.pid is False and worker.namespaces.user is not False:
        return Step("mount.proc", "/proc, the host's", ("host",))
    return Step("mount.proc", "/proc")


def _user_mount(mount: Mount) -> Step:
    options = "".join(f",{option}" for option in mount.options)
    if mount.type == "bind":
        detail = f"{mount.source} -> {mount.target}{' ' + options[1:] if options else ''}"
        return Step("mount.bind", detail, (mount.source or "", mount.target, *mount.options))
    size = "" if mount.size_bytes is None else str(mount.size_bytes)
    detail = f"{mount.target}{' size ' + size if size else ''}{' ' + options[1:] if options else ''}"
    return Step("mount.tmpfs", detail, (mount.target, size, mount.mode or "755", *mount.options))


def _limit_steps(worker: Worker) -> list[Step]:
    limits = worker.limits
    names = {"cpu": limits.cpu_s, "as": limits.address_space}
    names |= {key: getattr(limits, key) for key in ("nofile", "nproc", "core", "fsize", "memlock", "stack", "data")}
    pairs = {key: value for key, value in names.items() if value is not None}
    if not pairs:
        return []
    detail = " ".join(f"{key}={value}" for key, value in pairs.items())
    return [Step("limit.rlimit", detail, tuple(item for pair in pairs.items() for item in pair))]


def _privilege_steps(worker: Worker, identity: Identity, facts: HostFacts) -> list[Step]:
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


def _differs_from_init(worker: Worker, *, terminal: bool) -> bool:
    """Say whether the workload needs a process apart from PID 1 before it executes.

    Limits and capabilities would be PID 1's too, a terminal is its session leader's, only a pid namespace ends the
    workload with its PID 1, and vfork(2) into a new time namespace was EINVAL before Linux 6.1. Else PID 1 makes all
    that the workload is to be of itself, and spawns it by vfork: no memory is copied.
    """
    spaces = worker.namespaces
    apart = terminal or bool(worker.security.capabilities) or worker.limits != Limits()
    return apart or spaces.pid is not True or spaces.time is not False


def _exec_step(worker: Worker, facts: HostFacts, *, stays: bool) -> Step:
    environment = {"PATH": DEFAULT_PATH, "HOME": _home(worker, facts), "LANG": "C.UTF-8"}
    if facts.timezone:
        environment["TZ"] = facts.timezone
    environment |= worker.env
    words = [f"{key}={value}" for key, value in environment.items()]
    return Step("exec", " ".join(worker.command), (int(stays), len(worker.command), *worker.command, *words))


def _home(worker: Worker, facts: HostFacts) -> str:
    """A place that exists and, in the host view, can be written to."""
    if worker.namespaces.mount is False:
        return facts.home
    return "/tmp" if worker.rootfs.kind == "host" else "/"
