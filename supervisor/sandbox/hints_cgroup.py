"""Hints for cgroup.create, which the daemon does itself before it asks the keeper for a process."""

from supervisor.spec import remedies

Row = tuple[str, str | None]

TABLE: dict[str, dict[str, Row]] = {
    "cgroup.create": {
        "ENODEV": (
            "limits_required is set, and a controller that the limits need is not delegated to nsvisor.",
            remedies.DELEGATE_CONTROLLERS,
        ),
        "EACCES": (
            "The cgroup of nsvisor's workers is not this user's (any more): only a delegated one can be written to.",
            remedies.DELEGATED_SCOPE,
        ),
        "EPERM": (
            "The cgroup of nsvisor's workers is not this user's (any more): only a delegated one can be written to.",
            remedies.DELEGATED_SCOPE,
        ),
        "EAGAIN": (
            "A cgroup above allows no more of them (cgroup.max.descendants, cgroup.max.depth).",
            "cat /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.stat",
        ),
        "EBUSY": (
            "A cgroup of this name is there, and a process in it does not die.",
            "systemd-cgls --user",
        ),
        "EINVAL": (
            "The kernel does not take this value: of cpuset, a CPU that is not online or not delegated.",
            "cat /sys/devices/system/cpu/online",
        ),
        "ERANGE": ("The value is out of the range that the kernel takes.", "nsvisor plan {instance}"),
        "ENOENT": (
            "The cgroup of nsvisor's workers is gone, or the kernel does not have this limit.",
            "nsvisor doctor",
        ),
        "EROFS": ("The cgroup file system is mounted read-only, as in a container.", "findmnt -t cgroup2"),
        "ENOSPC": ("The cpuset has no CPU left, or the kernel has no more ids for cgroups.", "cat /proc/cgroups"),
    },
}
