"""Hints for locks, limits of the process and its attributes."""

from supervisor.spec import remedies

Row = tuple[str, str | None]

_LOWERED: Row = (
    "The score may only be raised: lowering it takes CAP_SYS_RESOURCE on the host, so nsvisor as root.",
    "cat /proc/self/oom_score_adj",
)
_RAISED: Row = (
    "A lower nice value, a real-time policy or class takes CAP_SYS_NICE on the host (or LimitNICE=, LimitRTPRIO=).",
    "ulimit -e -r",
)
_SEALED: Row = (
    "/proc/sys is read-only around nsvisor, as in docker; or do without: security.nested_userns = true.",
    remedies.UNMASK_PROC,
)

TABLE: dict[str, dict[str, Row]] = {
    "limit.oom": {"EACCES": _LOWERED, "EPERM": _LOWERED},
    "userns.seal": {
        "EROFS": _SEALED,
        "EXDEV": (
            "The mount namespace that was joined has something else at /proc: set nested_userns = true.",
            "nsvisor plan {instance}",
        ),
        "ENOENT": ("The kernel has no limits of namespaces: set nested_userns = true.", "ls /proc/sys/user"),
        "EACCES": ("The capabilities over the user namespace are gone already, or were never had.", None),
        "EPERM": ("The capabilities over the user namespace are gone already, or were never had.", None),
    },
    "limit.sched": {
        "EACCES": _RAISED,
        "EPERM": _RAISED,
        "EINVAL": (
            "None of the processors of affinity is there, or is left to nsvisor by its own cpuset.",
            "cat /sys/devices/system/cpu/online; grep Cpus_allowed_list /proc/self/status",
        ),
    },
    "process.umask": {},
    "process.personality": {
        "EINVAL": ("This kernel was not built to run programs of that personality.", "uname -m"),
        "EPERM": ("A seccomp profile around nsvisor forbids this personality.", "grep Seccomp /proc/self/status"),
    },
    "lock.landlock": {
        "ENOSYS": ("The kernel was built without Landlock (CONFIG_SECURITY_LANDLOCK).", "nsvisor doctor"),
        "ENOTSUP": (  # as Python calls EOPNOTSUPP
            "Landlock is not enabled at boot, or is too old for what landlock.required asks: lsm= must name it.",
            "cat /sys/kernel/security/lsm",
        ),
        "ENOENT": (
            "A path of security.landlock does not exist inside the sandbox.",
            "nsvisor plan {instance}",
        ),
        "EACCES": ("A path of security.landlock is closed to the worker's user.", "nsvisor plan {instance}"),
        "ENOTDIR": ("A part of a path of security.landlock is a file.", "nsvisor plan {instance}"),
        "EPERM": ("Without no_new_privs only CAP_SYS_ADMIN may restrict itself.", "nsvisor plan {instance}"),
        "E2BIG": ("16 Landlock rulesets are stacked already: nsvisor itself runs under some.", None),
    },
}
TIMEOUTS: dict[str, Row] = {
    "lock.landlock": (
        "A path of security.landlock lies on a file system that does not answer: a dead network or FUSE server.",
        "nsvisor plan {instance}",
    ),
}
BY_SYSCALL: dict[tuple[str, str, str], Row] = {
    ("lock.landlock", "EPERM", "setrlimit"): (
        "The limit is over the hard limit of nsvisor itself, which only root may raise.",
        "ulimit -Ha",
    ),
}
