"""Hints about the kernel's file systems, files, secrets, kernel settings and hidden paths."""

from supervisor.sandbox.hints_targets import A_FILE, CLOSED, DANGLING, FULL, LINK, NO_DIRECTORY, NO_FILE, READ_ONLY
from supervisor.spec import remedies

Row = tuple[str, str | None]

_NO_RIGHTS: Row = (
    "No rights here: a security module took them away (Ubuntu's AppArmor restriction), or namespaces.user is false.",
    remedies.ALLOW_APPARMOR_USER_NAMESPACES,
)
_TARGET = {"ENOTDIR": A_FILE, "ELOOP": LINK, "EROFS": READ_ONLY, "EEXIST": DANGLING, "ENOSPC": FULL}
_UNKNOWN_KIND: Row = ("The kernel does not have this file system.", "cat /proc/filesystems")

TABLE: dict[str, dict[str, Row]] = {
    "mount.proc": {
        "EINVAL": ("The kernel does not know hidepid by this word, or subset: both need Linux 5.8.", "uname -r"),
    },
    "mount.bind": {
        "ENODEV": (
            'A device is closed on a bind: add "dev" to its options; the host\'s file system must not be nodev either.',
            "findmnt -no OPTIONS -T {detail}",
        ),
        "EEXIST": DANGLING,
    },
    "mount.tmpfs": {"EEXIST": DANGLING},
    "mount.sysfs": {
        **_TARGET,
        "EPERM": (
            "Neither a fresh /sys nor the host's can be mounted: a security module forbids it.",
            remedies.ALLOW_APPARMOR_USER_NAMESPACES,
        ),
        "EINVAL": NO_DIRECTORY,
        "ENOENT": ("The host has no /sys to show.", "findmnt /sys"),
    },
    "mount.cgroup": {
        **_TARGET,
        "EPERM": (
            "The cgroup namespace is not the sandbox's own, or a security module forbids it.",
            "findmnt -t cgroup2",
        ),
        "EINVAL": NO_DIRECTORY,
        "ENODEV": (
            "The kernel has no cgroup v2; optional = true leaves the mount out there.",
            "grep cgroup2 /proc/filesystems",
        ),
        "EBUSY": (
            "The controllers are in use by cgroup v1; optional = true leaves the mount out there.",
            "findmnt -t cgroup",
        ),
    },
    "mount.mqueue": {
        **_TARGET,
        "EPERM": ("The ipc namespace is not the sandbox's own: set namespaces.ipc to true.", "nsvisor plan {instance}"),
        "EINVAL": NO_DIRECTORY,
        "ENODEV": _UNKNOWN_KIND,
    },
    "mount.devpts": {
        **_TARGET,
        "EPERM": _NO_RIGHTS,
        "EINVAL": NO_DIRECTORY,
        "ENODEV": _UNKNOWN_KIND,
    },
    "mount.file": {
        **_TARGET,
        "EEXIST": (
            "Something else is there already: a link or a directory takes nobody's place.",
            "ls -ld {detail}",
        ),
        "EACCES": CLOSED,
        "EINVAL": NO_FILE,
        "EPERM": _NO_RIGHTS,
    },
    "mount.secret": {
        **_TARGET,
        "ENOENT": (
            "The secret is not there: no such file, variable or credential; optional = true goes on without it.",
            "nsvisor inspect {instance}",
        ),
        "EACCES": ("The file is closed to the user that nsvisor runs as.", "nsvisor inspect {instance}"),
        "EFBIG": ("A secret is at most 1 MiB.", "nsvisor inspect {instance}"),
        "EINVAL": (
            "A secret comes from a regular file, belongs to a mapped id, and its target is not a directory.",
            "nsvisor inspect {instance}",
        ),
        "ESRCH": ("The user is not in the sandbox's /etc/passwd.", "nsvisor plan {instance}"),
        "EPERM": _NO_RIGHTS,
        "EIO": ("The source became shorter while it was read, or its disk fails.", "nsvisor events"),
    },
    "sysctl.set": {
        "EACCES": (
            "The kernel wants the id 0 of the user namespace: kernel.* and fs.mqueue.* need an id_map that has it.",
            "nsvisor plan {instance}",
        ),
        "EPERM": (
            "The namespace is not the sandbox's own, or this setting is only for the host's root.",
            "nsvisor plan {instance}",
        ),
        "ENOENT": (
            "The kernel has no such setting in a namespace: it is the host's alone, or its module is not loaded.",
            "sysctl -a | grep NAME",
        ),
        "EINVAL": ("The kernel does not take this value.", "sysctl -a | grep NAME"),
        "EISDIR": ("The name is that of a group of settings.", "sysctl -a | grep NAME"),
        "EROFS": ("/proc/sys is read-only here, as in a container.", "findmnt -R /proc"),
        "EXDEV": ("Something is mounted over this part of /proc.", "findmnt -R /proc"),
        "ELOOP": ("The path of the setting leads through a link.", None),
    },
    "mount.mask": {
        "ENXIO": ("The host's /dev/null is another device.", "ls -l /dev/null"),
        "EPERM": _NO_RIGHTS,
        "EINVAL": ("Below the path lie mounts that cannot be taken along.", "nsvisor plan {instance}"),
        "ELOOP": (
            "A symbolic link on a path of masked_paths or readonly_paths goes round in circles, or is a link of /proc.",
            "nsvisor plan {instance}",
        ),
        "ENOSPC": FULL,
    },
}

TIMEOUTS: dict[str, Row] = {
    "mount.secret": (
        "The file that the secret comes from lies on a server that does not answer.",
        "nsvisor inspect {instance}",
    ),
}

BY_SYSCALL: dict[tuple[str, str, str], Row] = {
    ("mount.mqueue", "EPERM", "move_mount"): _NO_RIGHTS,
    ("mount.file", "EEXIST", "mkdirat"): TABLE["mount.file"]["EEXIST"],
    ("mount.mask", "ELOOP", "openat2"): TABLE["mount.mask"]["ELOOP"],
    ("mount.secret", "ENOENT", "openat2"): (
        "The sandbox has no /etc/passwd to look the user up in.",
        "nsvisor plan {instance}",
    ),
    ("mount.secret", "ENOSPC", "sendfile"): ("The kernel has no room for the secret.", "free -h"),
    ("mount.file", "EADDRINUSE", "bind"): (
        "Something of the worker's own is where the socket for sd_notify(3) goes.",
        "nsvisor plan {instance}",
    ),
    ("mount.file", "ENOSPC", "write"): ("The kernel has no room for the file.", "free -h"),
}
