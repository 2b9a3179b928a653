"""For each phase a worker whose launch fails in it: by what really goes wrong, else by a system call made to fail.

TOP is a folder of the worker's user, with what `make_files` puts there.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from supervisor.kernel.clone import CLONE_NEWUSER
from supervisor.kernel.mounts import AT_EMPTY_PATH, MOUNT_ATTR_RDONLY
from supervisor.kernel.process import PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG
from tests.kernel.intercepted_calls import Call
from tests.program import Program

When = Callable[[Call], bool]
RANGE = 'id_map = "keep-id"'
# As fork(3) calls it: the one of another program, pasta's of a thread's kind, would be cut short by a signal meanwhile.
FORK = "clone:0=18874385"
FORKED = "limits = { core = 0 }"  # the workload has a process of its own


def argument(index: int, value: int) -> When:
    """The lower half of an argument."""
    return lambda call: call.arguments[index] & 0xFFFFFFFF == value


def _clones_a_user_namespace(call: Call) -> bool:
    return int.from_bytes(call.memory(call.arguments[0], 8), "little") & CLONE_NEWUSER != 0


def _opens(end: bytes) -> When:
    return lambda call: call.memory(call.arguments[1], 64).split(b"\0")[0].endswith(end)


def _seals(call: Call) -> bool:
    attributes = call.memory(call.arguments[3], 16)
    of_a_directory = os.path.isdir(f"/proc/{call.pid}/fd/{call.arguments[0]}")  # as device nodes are not
    return of_a_directory and attributes == MOUNT_ATTR_RDONLY.to_bytes(8, "little") + bytes(8)


@dataclass(frozen=True)
class Case:
    """A failure and what is to be said of it."""

    phase: str
    keys: str  # of the worker, beside its command
    error: str  # the name of the errno; SIGKILL: the process is killed in the call
    syscall: str | None  # None: the daemon itself refused
    word: str  # of the hint's sentence
    command: str | None  # a part of the hint's command; None: there is nothing to be done about it by a command
    call: str = ""  # of the system call that is made to fail, as tests/kernel/intercepted_calls.py takes it
    when: When = lambda _: True


def real(phase: str, keys: str, error: str, syscall: str | None, word: str, command: str | None) -> Case:
    """The kernel or the host says so."""
    return Case(phase, keys, error, syscall, word, command)


def injected(
    phase: str,
    keys: str,
    call: str,
    error: str,
    word: str,
    command: str | None,
    *,
    name: str = "",
    when: When = lambda _: True,
) -> Case:
    """As no test may or can bring about for real. name: of the call in the record, if it is another."""
    return Case(phase, keys, error, name or call.partition(":")[0], word, command, call, when)


def root(name: str) -> str:
    return f'rootfs = {{ kind = "dir", path = "TOP/{name}", writable = true }}'


def mount(text: str) -> str:
    return f"mounts = [{{ {text} }}]"


OF_FILE = 'target = "/etc/passwd"'
QUOTA = "is used up or 0"
APPARMOR = "a security module took them away"

CASES: Mapping[str, Case] = {
    "cgroup": real(
        "cgroup.create",
        'limits = { memory = "64MiB" }\nlimits_required = true',
        "ENODEV",
        None,
        "not delegated",
        "Delegate",
    ),
    "no-namespace": real(
        "ns.join", 'network = { mode = "path:/run/no-such-namespace" }', "ENOENT", "open", "gone", "nsvisor ps"
    ),
    "other-namespace": real(
        "ns.join", 'network = { mode = "path:/proc/self/ns/uts" }', "EINVAL", "setns", "of another kind", "ls -l"
    ),
    "clone": injected("clone", "", "clone3", "EAGAIN", "limit of processes", "TasksMax", when=_clones_a_user_namespace),
    "parent": injected("parent.bind", "", f"prctl:0={PR_SET_PDEATHSIG}", "EPERM", "seccomp", "grep Seccomp"),
    "foreign-ids": real(
        "id.map", 'uid_map = ["0:5000:1"]\ngid_map = ["0:5000:1"]', "EPERM", None, "/etc/subuid", "grep"
    ),
    "id-root": injected("id.root", RANGE, "setresgid", "EINVAL", "not in its map", "nsvisor plan"),
    "oom": real("limit.oom", "limits = { oom_score_adj = -500 }", "EACCES", "write", "only be raised", "oom_score_adj"),
    "offset": real(
        "time.offsets",
        'namespaces = { time = true }\ntime_offsets = { monotonic = "-80000h" }',
        "ERANGE",
        "write",
        "negative",
        "uptime",
    ),
    "loopback": injected(
        "net.loopback", "", f"ioctl:1={0x8914}", "EPERM", APPARMOR, "apparmor", name="ioctl(SIOCSIFFLAGS)"
    ),
    "address": real(
        "net.attach",
        'network = { mode = "pasta", publish = ["192.0.2.1:8080:80"] }',
        "EADDRNOTAVAIL",
        "network",
        "no such address",
        "ip -brief address",
    ),
    "hostname": injected("uts.hostname", "", "sethostname", "EPERM", APPARMOR, "apparmor"),
    "domainname": injected("uts.domainname", 'domainname = "x"', "setdomainname", "EPERM", APPARMOR, "apparmor"),
    "static-init": injected(
        "init.open",
        'init = "static"',
        f"openat:2={os.O_RDONLY | os.O_CLOEXEC}",
        "ENOENT",
        "is gone since",
        "apt install catatonit",
        when=_opens(b"/catatonit"),
    ),
    "propagation": injected(
        "mount.propagation", "", f"mount:3={(1 << 14) | (1 << 19)}", "EACCES", APPARMOR, "apparmor"
    ),
    "no-rootfs": real("rootfs.prepare", root("nowhere"), "ENOENT", "open_tree", "does not exist", "ls -ld TOP/nowhere"),
    "dev-file": real("mount.dev", root("dev-file"), "EINVAL", "move_mount", "is a file", "stat TOP/dev-file/dev"),
    "dev-link": real("mount.dev", root("dev-link"), "EEXIST", "mkdirat", "leads nowhere", "namei -l TOP/dev-link/dev"),
    "dev-loop": real("mount.dev", root("dev-loop"), "ELOOP", "openat2", "in circles", "namei -l TOP/dev-loop/dev"),
    "dev-closed": real(
        "mount.dev", 'rootfs = { kind = "dir", path = "/srv" }', "EACCES", "mkdirat", "by hand", "nsvisor plan"
    ),
    "proc-file": real("mount.proc", root("proc-file"), "EINVAL", "move_mount", "is a file", "stat TOP/proc-file/proc"),
    "proc-link": real(
        "mount.proc", root("proc-link"), "EEXIST", "mkdirat", "leads nowhere", "namei -l TOP/proc-link/proc"
    ),
    "proc-loop": real("mount.proc", root("proc-loop"), "ELOOP", "openat2", "in circles", "namei -l TOP/proc-loop/proc"),
    "sysfs": real(
        "mount.sysfs", mount(f'type = "sysfs", {OF_FILE}'), "EINVAL", "move_mount", "is a file", "stat /etc/passwd"
    ),
    "cgroup-file": real(
        "mount.cgroup", mount(f'type = "cgroup", {OF_FILE}'), "EINVAL", "move_mount", "is a file", "stat /etc/passwd"
    ),
    "mqueue": real(
        "mount.mqueue", mount(f'type = "mqueue", {OF_FILE}'), "EINVAL", "move_mount", "is a file", "stat /etc/passwd"
    ),
    "devpts": real(
        "mount.devpts", mount(f'type = "devpts", {OF_FILE}'), "EINVAL", "move_mount", "is a file", "stat /etc/passwd"
    ),
    "no-source": real(
        "mount.bind",
        mount('type = "bind", source = "/srv/no-such-source", target = "/data"'),
        "ENOENT",
        "open_tree",
        "source does not exist",
        "ls -ld /srv/no-such-source",
    ),
    "mixed": real(
        "mount.bind",
        mount('type = "bind", source = "/etc/passwd", target = "/tmp"'),
        "EINVAL",
        "move_mount",
        "of one kind",
        "stat",
    ),
    "bind-loop": real(
        "mount.bind",
        root("target-loop") + "\n" + mount('type = "bind", source = "/usr", target = "/loop"'),
        "ELOOP",
        "openat2",
        "in circles",
        "namei -l TOP/target-loop/loop",
    ),
    "bind-link": real(
        "mount.bind",
        root("target-loop") + "\n" + mount('type = "bind", source = "/usr", target = "/link"'),
        "EEXIST",
        "mkdirat",
        "leads nowhere",
        "namei -l TOP/target-loop/link",
    ),
    "bind-in-proc": real(
        "mount.bind",
        mount('type = "bind", source = "/usr", target = "/proc/nowhere"'),
        "ENOENT",
        "mkdirat",
        "below /proc",
        "nsvisor plan",
    ),
    "bind-below": real(
        "mount.bind",
        mount('type = "bind", source = "/usr", target = "/etc/passwd/below"'),
        "ENOTDIR",
        "openat2",
        "a file, not a directory",
        "namei -l /etc/passwd/below",
    ),
    "tmpfs": real(
        "mount.tmpfs", mount('type = "tmpfs", target = "/usr/made"'), "EROFS", "mkdirat", "read-only", "nsvisor plan"
    ),
    "tmpfs-loop": real(
        "mount.tmpfs",
        root("target-loop") + "\n" + mount('type = "tmpfs", target = "/loop"'),
        "ELOOP",
        "openat2",
        "in circles",
        "namei -l TOP/target-loop/loop",
    ),
    "no-lower": real(
        "mount.overlay",
        mount('type = "overlay", target = "/data", lower = ["/srv/no-such-lower"]'),
        "ENOENT",
        "openat",
        "does not exist",
        "ls -ld /srv/no-such-lower",
    ),
    "link": real(
        "mount.file",
        mount('type = "symlink", source = "x", target = "/usr"'),
        "EEXIST",
        "symlinkat",
        "there already",
        "ls -ld /usr",
    ),
    "secret": real(
        "mount.secret", 'secrets = [{ id = "x", env = "NO_SUCH_VARIABLE" }]', "ENOENT", "secret", "not there", "inspect"
    ),
    "sysctl": real(
        "sysctl.set",
        'sysctls = { "net.core.netdev_max_backlog" = "1" }',
        "ENOENT",
        "openat2",
        "no such setting",
        "sysctl",
    ),
    "seal": injected(
        "userns.seal",
        "",
        f"openat:2={0o2000001}",
        "EROFS",
        "/proc/sys is read-only",
        "docker",
        when=_opens(b"/max_user_namespaces"),
    ),
    "mask": real(
        "mount.mask",
        root("target-loop") + '\nmasked_paths = ["/loop"]',
        "ELOOP",
        "openat2",
        "in circles",
        "nsvisor plan",
    ),
    "root-seal": injected(
        "rootfs.seal", "", f"mount_setattr:2={AT_EMPTY_PATH}", "EPERM", APPARMOR, "apparmor", when=_seals
    ),
    "pivot": injected("root.pivot", "", "pivot_root", "EPERM", APPARMOR, "apparmor"),
    "fork": injected("init.fork", FORKED, FORK, "EAGAIN", "limit of processes", "TasksMax", name="fork"),
    "session": injected("session.new", "", "setsid", "EPERM", "leads a session", None),
    "session-apart": injected("session.new", FORKED, "setsid", "EPERM", "leads a session", None),
    "no-directory": real(
        "cwd.enter",
        'working_dir = "/no/such/directory"',
        "ENOENT",
        "chdir",
        "working_dir does not exist",
        "nsvisor plan",
    ),
    "nice": real("limit.sched", "limits = { nice = -5 }", "EACCES", "setpriority", "CAP_SYS_NICE", "ulimit"),
    "too-much": real(
        "limit.rlimit", "limits = { nofile = 1000000000 }", "EPERM", "setrlimit", "hard limit", "ulimit -Ha"
    ),
    "bounding": injected("cap.bound", "", f"prctl:0={PR_CAPBSET_DROP}", "EPERM", "CAP_SETPCAP", "grep Cap"),
    "no-user": real(
        "id.user",
        f'user = "nobody-of-that-name"\n{RANGE}',
        "ENOENT",
        "getpwnam",
        "not in the sandbox's /etc/passwd",
        "getent passwd nobody-of-that-name",
    ),
    "capset": injected("cap.drop", "", "capset", "EPERM", "does not have", "grep Cap"),
    "descriptors": injected(
        "fd.close",
        "",
        "prlimit64:1=7",
        "EPERM",
        "seccomp",
        "grep Seccomp",
        name="setrlimit",
        when=lambda call: call.arguments[2] != 0,
    ),
    # umask(2) cannot fail: nothing can go wrong but that the process is killed.
    "umask": Case("process.umask", 'umask = "0027"', "SIGKILL", None, "killed from outside", "dmesg", "umask"),
    "personality": injected(
        "process.personality", 'personality = ["ADDR_NO_RANDOMIZE"]', "personality", "EPERM", "seccomp", "grep Seccomp"
    ),
    "privileges": injected("lock.no_new_privs", "", f"prctl:0={PR_SET_NO_NEW_PRIVS}", "EINVAL", "refused", "uname -r"),
    "landlock": real(
        "lock.landlock",
        'security = { landlock = { read = ["/no/such/path"] } }',
        "ENOENT",
        "openat",
        "does not exist",
        "nsvisor plan",
    ),
    "seccomp": injected("lock.seccomp", "", "seccomp", "EINVAL", "no seccomp filters", "actions_avail"),
    "no-command": real(
        "exec",
        'command = ["no-such-command"]',
        "ENOENT",
        "execve",
        "No directory of the worker's PATH",
        "command -v no-such-command",
    ),
    "no-file": real(
        "exec", 'command = ["/opt/no-such-file"]', "ENOENT", "execve", "not in the sandbox", "nsvisor plan"
    ),
    # After all that has to be given back: a process for the network, locks of an overlay, a secret.
    "all-taken": real(
        "exec",
        """command = ["/nowhere"]
id_map = "keep-id"
network = { mode = "pasta", publish = ["8080:80"] }
rootfs = { kind = "overlay", lower = ["TOP/lower"], upper = "TOP/upper" }
secrets = [{ id = "x", source = "/etc/passwd" }]""",
        "ENOENT",
        "execve",
        "not in the sandbox",
        "nsvisor plan",
    ),
    "no-interpreter": real(
        "exec",
        'command = ["/script"]\n' + mount('type = "bind", source = "TOP/script", target = "/script", options = ["ro"]'),
        "ENOENT",
        "execve",
        "interpreter",
        "head -n 1 /script",
    ),
    "not-executable": real(
        "exec", 'command = ["/etc/passwd"]', "EACCES", "execve", "not executable", "ls -l /etc/passwd"
    ),
}

# Of these the same system call is where the process is killed, or hangs, or its keeper is killed.
STOPPED = ("parent", "hostname", "propagation", "pivot", "fork", "session", "session-apart", "privileges")
SETUP_TIMEOUT = 'setup_timeout = "0.4s"'

# Each with the quota that is used up; in a user namespace of the daemon's own, where there is one of one's own.
QUOTAS: Mapping[str, tuple[str, str]] = {
    "clone": ("user", "namespaces = { pid = false }"),  # not the process that was cloned ahead
    "ns.mount": ("mnt", ""),
    "ns.uts": ("uts", ""),
    "ns.ipc": ("ipc", ""),
    "ns.network": ("net", ""),
    "ns.cgroup": ("cgroup", ""),
    "ns.time": ("time", "namespaces = { time = true }"),
}


def make_files(program: Program) -> None:
    """What the cases find below TOP."""
    program.write("script", "#!/no/such/interpreter\n").chmod(0o755)
    for name, links in {
        "dev-link": {"dev": "nowhere"},
        "dev-loop": {"dev": "dev"},
        "proc-link": {"proc": "nowhere"},
        "proc-loop": {"proc": "proc"},
        "target-loop": {"loop": "loop", "link": "nowhere"},
    }.items():
        for link, text in links.items():
            (program.folder(name) if not (program.top / name).exists() else program.top / name).joinpath(
                link
            ).symlink_to(text)
    for name in ("lower", "upper"):
        program.folder(name)
    for name in ("dev", "proc"):
        program.folder(f"{name}-file")
        program.write(f"{name}-file/{name}", "")


def fleet(top: Path) -> str:
    """The configuration with all of them, none started, and a good one."""
    workers = {name: case.keys for name, case in CASES.items()}
    workers |= {f"slow-{name}": f"{CASES[name].keys}\n{SETUP_TIMEOUT}" for name in STOPPED}
    return _toml(workers).replace("TOP", str(top))


def quota_fleet() -> str:
    return _toml({phase.replace(".", "-"): keys for phase, (_, keys) in QUOTAS.items()})


def _toml(workers: Mapping[str, str]) -> str:
    text = '[defaults]\nautostart = false\nrestart = { policy = "never" }\n[worker.good]\ncommand = ["true"]\n'
    for name, keys in workers.items():
        command = "" if keys.startswith("command") else 'command = ["true"]\n'
        text += f"[worker.{name}]\n{command}{keys}\n"
    return text


def calls() -> list[str]:
    """Of the faults, once each."""
    return sorted({case.call for case in CASES.values() if case.call})
