"""What a failed phase usually means: (phase, errno) -> one sentence, one command. Data only.

{detail} stands for what the phase was about, {target} for where it mounts as the host has it, {user} for the user's
name. Kept apart by phase so that it reads like the table in the reference; tests provoke what a namespace lets them
provoke.
"""

from supervisor.sandbox import (
    hints_cgroup,
    hints_ids,
    hints_locks,
    hints_mounts,
    hints_network,
    hints_rootfs,
    hints_seccomp,
    hints_targets,
)
from supervisor.spec import remedies

Row = tuple[str, str | None]

SETUP_TIMEOUT = "ETIMEDOUT"  # not from the kernel: the set-up time-out ran out in this phase
NO_SUBID = "no subuid line"  # not from the kernel: id.map asks for a range and /etc/subuid has none for the user

_APPARMOR = (
    "No rights here: a security module took them away (Ubuntu's AppArmor restriction), or namespaces.user is false.",
    remedies.ALLOW_APPARMOR_USER_NAMESPACES,
)
_TOO_LONG = ("The name is longer than 64 bytes.", "printf %s NAME | wc -c")
_PART_IS_A_FILE: Row = ("A part of the path is a file, not a directory.", "namei -l {detail}")
_SECCOMP = ("A seccomp profile around nsvisor, as in a container, forbids this.", "grep Seccomp /proc/self/status")


def _quota(kind: str) -> dict[str, Row]:
    return {
        "ENOSPC": (
            f"The quota of {kind} namespaces is used up or 0, or 32 namespaces are nested already.",
            remedies.RAISE_NAMESPACES.replace("{kind}", kind),
        ),
        "EPERM": _APPARMOR,
        "EINVAL": (f"The kernel was built without {kind} namespaces.", "ls /proc/self/ns"),
    }


TABLE: dict[str, dict[str, Row]] = {
    "ns.join": {
        "EINVAL": (
            "The namespace is of another kind, or the user namespace is one we are in already.",
            "ls -l /proc/self/ns /proc/PID/ns",
        ),
        "EPERM": (
            "The namespace belongs to a user namespace in which this user has no rights.",
            "lsns -o NS,TYPE,PID,USER,COMMAND",
        ),
        "EACCES": ("The process belongs to another user or hides itself (not dumpable).", "ls -l /proc/PID/ns"),
        "ENOENT": ("The process or file that names the namespace is gone.", "nsvisor ps"),
        "ESRCH": ("The process that holds the namespace has ended.", "nsvisor ps"),
    },
    "clone": {
        "EPERM": (
            "Unprivileged user namespaces are off, forbidden by a container's seccomp profile, or this is a chroot.",
            remedies.ALLOW_USER_NAMESPACES,
        ),
        "EACCES": (
            "A security module forbids user namespaces to this program, or the cgroup made for it is not this user's.",
            remedies.ALLOW_APPARMOR_USER_NAMESPACES,
        ),
        "ENOSPC": (
            "The quota of user or pid namespaces is used up or 0, or 32 of them are nested already.",
            remedies.RAISE_NAMESPACES.replace("{kind}", "user"),
        ),
        "EAGAIN": (
            "The limit of processes is reached: pids.max of the cgroup, or RLIMIT_NPROC.",
            remedies.RAISE_PROCESSES,
        ),
        "ENOSYS": (
            "The seccomp profile of an outer container hides clone3, and clone as well.",
            "docker run --security-opt seccomp=unconfined …",
        ),
        "EINVAL": ("The kernel does not know one of the namespaces.", "ls /proc/self/ns"),
        "ENOMEM": (
            "The kernel has no memory left, or the pid namespace that nsvisor itself runs in has lost its init.",
            "free -h",
        ),
        "EBUSY": ("The cgroup has controllers enabled for its children, so it takes no process itself.", None),
    },
    "parent.bind": {
        "ESRCH": ("The keeper ended while the sandbox was built; it is built again under a new one.", "nsvisor events"),
        "EPERM": _SECCOMP,
    },
    "parent.release": {"EPERM": _SECCOMP},
    "standby.wait": {
        "SIGKILL": (
            "It was killed while it waited for its turn: by the OOM killer, or by hand. Another one is built.",
            "journalctl -k --grep 'Out of memory'",
        ),
    },
    "id.map": {
        "EPERM": (
            "More than one id needs newuidmap and a line in /etc/subuid; gid_map comes only after `setgroups deny`.",
            remedies.ADD_SUBIDS,
        ),
        "EACCES": (
            "The process is not dumpable, or a security module (Ubuntu's AppArmor restriction) holds the map back.",
            remedies.ALLOW_APPARMOR_USER_NAMESPACES,
        ),
        "EINVAL": (
            "The map's lines overlap, hold an id that is not mapped outside, or are more than 340.",
            "cat /proc/self/uid_map",
        ),
        "ENOENT": ("newuidmap and newgidmap are not installed; a range of ids needs them.", remedies.INSTALL_UIDMAP),
        NO_SUBID: ("The user has no range of subordinate ids.", remedies.ADD_SUBIDS),
    },
    "id.root": {
        "EINVAL": ("The id that should own the sandbox is not in its map.", "nsvisor plan {instance}"),
        "EPERM": _APPARMOR,
        "EAGAIN": ("RLIMIT_NPROC of that user is reached.", remedies.RAISE_PROCESSES),
    },
    "ns.mount": _quota("mnt"),
    "ns.uts": _quota("uts"),
    "ns.ipc": _quota("ipc"),
    "ns.network": _quota("net"),
    "ns.cgroup": _quota("cgroup"),
    "ns.time": _quota("time"),
    "time.offsets": {
        "EACCES": ("A process lives in the time namespace already: offsets come before it.", None),
        "ERANGE": ("The offset would turn a clock negative, or past 146 years.", "cat /proc/uptime"),
        "ENOENT": ("The kernel was built without time namespaces.", "ls /proc/self/ns"),
    },
    "net.loopback": {
        "EPERM": _APPARMOR,
        "ENODEV": ("The network namespace has no loopback interface.", "ip link"),
    },
    "uts.hostname": {"EINVAL": _TOO_LONG, "EPERM": _APPARMOR},
    "uts.domainname": {"EINVAL": _TOO_LONG, "EPERM": _APPARMOR},
    "mount.propagation": {
        "EPERM": _APPARMOR,
        "EACCES": _APPARMOR,
        "EINVAL": ("The root of nsvisor's process is not a mount: it runs in a chroot.", "findmnt /"),
    },
    "rootfs.prepare": {
        "ENOENT": ("The root directory does not exist on the host.", "ls -ld {detail}"),
        "ENOTDIR": ("The root is not a directory.", "ls -ld {detail}"),
        "EACCES": (
            "A directory on the way to the root is closed to this user, or to the ids that id_map gives the sandbox.",
            "namei -l {detail}",
        ),
        "EPERM": _APPARMOR,
        "EINVAL": (
            "A mount below the root is locked; it can only be taken along with what lies on it.",
            "findmnt -R {detail}",
        ),
        "ELOOP": ("Symbolic links on the way to the root go round in circles.", "namei -l {detail}"),
        "ENOSPC": hints_targets.FULL,
    },
    "mount.dev": {
        "ENOENT": ("The host lacks one of the device nodes.", "ls -l /dev"),
        "ENXIO": ("The host's device node has other numbers than it should.", "ls -l /dev"),
        "EACCES": ("The host's /dev is closed to this user, or its file system is mounted nodev.", "findmnt /dev"),
        "EINVAL": ("An option of devpts names an id that is not mapped (gid=5).", None),
        "EPERM": _APPARMOR,
        "EROFS": hints_targets.READ_ONLY,
        "ENOSPC": (
            "All pseudo-terminals are taken, or the mount namespace is full.",
            "sysctl kernel.pty.nr kernel.pty.max",
        ),
    },
    "mount.proc": {
        "EPERM": (
            "Mounts cover parts of the host's /proc, as in docker, or the sandbox has no pid namespace of its own.",
            remedies.UNMASK_PROC,
        ),
        "EROFS": hints_targets.READ_ONLY,
    },
    "mount.bind": {
        "ENOENT": ("The bind's source does not exist on the host.", "ls -ld {detail}"),
        "EACCES": (
            "A directory on the way to the source is closed to this user, or to the ids that id_map gives the sandbox.",
            "namei -l {detail}",
        ),
        "EPERM": (
            "The mount's restrictions (ro, nosuid, nodev, noexec) and kind of access times are its owner's to change.",
            "findmnt -no OPTIONS -T {detail}",
        ),
        "EINVAL": (
            "Below the source lie locked mounts: a bind that leaves them out would show what they hide; use rbind.",
            "findmnt -R {detail}",
        ),
        "ENOTDIR": _PART_IS_A_FILE,
        "ELOOP": hints_targets.LINK,
        "EROFS": hints_targets.READ_ONLY,
        "ENOSPC": hints_targets.FULL,
    },
    "mount.tmpfs": {
        "EINVAL": ("The size or the mode is not one that tmpfs takes.", "man 5 tmpfs"),
        "ENOTDIR": _PART_IS_A_FILE,
        "ELOOP": hints_targets.LINK,
        "EROFS": hints_targets.READ_ONLY,
        "EPERM": _APPARMOR,
        "ENOSPC": hints_targets.FULL,
    },
    "rootfs.seal": {"EPERM": _APPARMOR},
    "root.pivot": {
        "EINVAL": (
            "The new root is not a mount, a mount above it is shared, or the host runs from an initramfs.",
            "findmnt /",
        ),
        "EBUSY": ("The new root lies on the old one's file system without a mount between.", "findmnt /"),
        "EPERM": _APPARMOR,
    },
    "init.open": {
        "ENOENT": ("The host's static init is gone since the configuration was read.", remedies.INSTALL_CATATONIT),
    },
    "init.fork": {
        "ENOMEM": (
            "The kernel has no memory left, or the pid namespace is dying: its first process was killed.",
            remedies.READ_KERNEL_LOG,
        ),
        "EAGAIN": (
            "The limit of processes is reached: pids.max of the cgroup, or RLIMIT_NPROC.",
            remedies.RAISE_PROCESSES,
        ),
    },
    "session.new": {
        "EPERM": ("The process leads a session or a process group already.", None),
        "EDQUOT": (
            "The user's quota of kernel keys is used up: every sandbox has a session keyring.",
            remedies.RAISE_KEYS,
        ),
        "ENOENT": ("There is no /dev/ptmx in the sandbox to open a terminal from.", None),
        "ENOSPC": ("All pseudo-terminals are taken.", "sysctl kernel.pty.nr kernel.pty.max"),
    },
    "cwd.enter": {
        "ENOENT": (
            "working_dir does not exist inside the sandbox; a bind or a tmpfs can provide it.",
            "nsvisor plan {instance}",
        ),
        "EACCES": ("working_dir is closed to the worker's user.", "namei -l {detail}"),
        "ENOTDIR": ("working_dir is a file.", "stat {detail}"),
    },
    "limit.rlimit": {
        "EPERM": ("The limit is over the hard limit of nsvisor itself, which only root may raise.", "ulimit -Ha"),
        "EINVAL": ("The soft limit is over the hard one.", "ulimit -Ha"),
    },
    "cap.bound": {
        "EPERM": ("The process may not change its bounding set (no CAP_SETPCAP).", "grep Cap /proc/self/status"),
        "EINVAL": ("The kernel does not know the capability.", "cat /proc/sys/kernel/cap_last_cap"),
    },
    "id.user": {
        "EINVAL": (
            "The worker's user or group is not in the sandbox's id map: map more ids (id_map, id_count, uid_map).",
            "nsvisor plan {instance}",
        ),
        "EPERM": (
            "The sandbox may not set groups: with one mapped id the kernel wants `setgroups deny`.",
            "cat /proc/self/setgroups",
        ),
        "ENOENT": ("The user is not in the sandbox's /etc/passwd.", "getent passwd {detail}"),
        "EAGAIN": ("RLIMIT_NPROC of that user is reached.", remedies.RAISE_PROCESSES),
    },
    "cap.drop": {
        "EPERM": ("A capability was asked for that the sandbox does not have.", "grep Cap /proc/self/status"),
        "EINVAL": ("The kernel does not know the capability.", "cat /proc/sys/kernel/cap_last_cap"),
    },
    "fd.close": {
        "EBADF": ("The number of a descriptor to pass on is not below the limit of open files.", "ulimit -n"),
        "EMFILE": ("The limit of open files leaves no room for the descriptors to pass on.", "ulimit -n"),
        "EISDIR": ("A directory as standard input or output would lead out of the sandbox.", "ls -l /proc/self/fd"),
        "ENOSYS": ("The kernel is older than 5.9, or a container's seccomp profile hides close_range.", "uname -r"),
        "EINVAL": ("The kernel is older than 5.11: close_range cannot mark descriptors yet.", "uname -r"),
        "EPERM": _SECCOMP,
    },
    "lock.no_new_privs": {
        "EINVAL": ("The kernel refused PR_SET_NO_NEW_PRIVS, or an outer container's seccomp profile did.", "uname -r"),
    },
    "exec": {
        "ENOENT": (
            "The command is not in the sandbox, or the interpreter that its #! line or its ELF header names is not.",
            "nsvisor plan {instance}",
        ),
        "EACCES": (
            "The file is not executable by the worker's user, or lies on a mount with noexec.",
            "ls -l {detail}; findmnt -no OPTIONS -T {detail}",
        ),
        "ENOEXEC": ("The file is neither a program for this machine nor a script with a #! line.", "file {detail}"),
        "ENOTDIR": _PART_IS_A_FILE,
        "ELOOP": ("Symbolic links on the command's path go round in circles.", "namei -l {detail}"),
        "E2BIG": (
            "Arguments and environment together are too long, or one of them is over 128 KiB.",
            "getconf ARG_MAX",
        ),
        "ETXTBSY": ("The file is open for writing.", "fuser -v {detail}"),
        "EPERM": (
            "The file has capabilities (setcap) that the sandbox's bounding set does not allow.",
            "getcap {detail}",
        ),
        "ELIBBAD": ("The program's ELF interpreter is for another machine.", "file {detail}"),
    },
}

# What an error means in whichever phase it comes up. Signals are how nsinit was seen to die.
ANYWHERE: dict[str, Row] = {
    "ENOMEM": ("The kernel has no memory left for this.", "free -h"),
    "EMFILE": ("nsvisor has no file descriptors left.", "systemctl --user edit nsvisor  # LimitNOFILE="),
    "ENFILE": ("The host has no file descriptors left.", "sysctl fs.file-nr"),
    "ENOSYS": ("The kernel is older than 5.12, or a container's seccomp profile hides the call.", "nsvisor doctor"),
    "SIGSYS": ("A seccomp profile around nsvisor kills the process for this system call.", remedies.READ_KERNEL_LOG),
    "SIGKILL": (
        "The process was killed from outside: by the OOM killer, a cgroup, or an operator.",
        remedies.READ_KERNEL_LOG,
    ),
}

_STUCK_MOUNT: Row = (
    "The file system behind it does not answer: a dead network or FUSE server.",
    "timeout 5 stat -f {detail}",
)
TIMEOUTS: dict[str, Row] = {
    "ns.join": ("The process to join has not come up.", "nsvisor ps"),
    "id.map": (
        "newuidmap does not come back: it looks the user up, and a name service hangs.",
        "time getent passwd {user}",
    ),
    "rootfs.prepare": _STUCK_MOUNT,
    "mount.bind": _STUCK_MOUNT,
    "mount.tmpfs": _STUCK_MOUNT,
    "cwd.enter": _STUCK_MOUNT,
    "exec": _STUCK_MOUNT,
}
# The same errno from another system call of the phase means another thing: what went wrong was the target.
BY_SYSCALL: dict[tuple[str, str, str], Row] = {
    **hints_targets.BY_SYSCALL,
    ("mount.bind", "EPERM", "open_tree"): _APPARMOR,
    ("mount.bind", "EPERM", "move_mount"): _APPARMOR,
    ("mount.bind", "ELOOP", "open_tree"): (
        "Symbolic links on the way to the source go round in circles.",
        "namei -l {detail}",
    ),
    ("session.new", "EPERM", "ioctl"): ("The terminal belongs to another session.", None),
}
TIMEOUT_ANYWHERE: Row = (
    "The phase did not end in setup_timeout: the host is overloaded, or the limit is too short.",
    "uptime",
)
TABLE |= hints_cgroup.TABLE
TABLE |= {phase: TABLE.get(phase, {}) | rows for phase, rows in hints_ids.TABLE.items()}
BY_SYSCALL |= hints_ids.BY_SYSCALL
TABLE |= hints_locks.TABLE
TIMEOUTS |= hints_locks.TIMEOUTS
BY_SYSCALL |= hints_locks.BY_SYSCALL
TABLE |= hints_seccomp.TABLE
TABLE |= hints_rootfs.TABLE
TIMEOUTS |= hints_rootfs.TIMEOUTS
BY_SYSCALL |= hints_rootfs.BY_SYSCALL
ANYWHERE |= hints_rootfs.ANYWHERE
TABLE |= {phase: TABLE.get(phase, {}) | rows for phase, rows in hints_mounts.TABLE.items()}
TIMEOUTS |= hints_mounts.TIMEOUTS
BY_SYSCALL |= hints_mounts.BY_SYSCALL
TABLE |= hints_network.TABLE
TIMEOUTS |= hints_network.TIMEOUTS
