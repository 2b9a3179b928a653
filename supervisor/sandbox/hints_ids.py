"""Hints about id maps, slices of ids and groups."""

from supervisor.spec import remedies

Row = tuple[str, str | None]

TABLE: dict[str, dict[str, Row]] = {
    "id.map": {
        "ENOSPC": (
            'The subordinate ids are used up: each worker with id_map = "auto" keeps a slice of them (id_count).',
            remedies.ADD_MORE_SUBIDS,
        ),
        "EBUSY": (
            "Another nsvisor with a state directory of its own has given out the same ids, and runs.",
            "lslocks --output PID,COMMAND,START,END,PATH | grep ids.lock",
        ),
        "EIO": (
            "Which ids are whose cannot be read or written down, and without that files could change their owner.",
            "nsvisor events",
        ),
    },
}
_NO_MOUNT_POINT: Row = (
    "The root lacks this mount point, and the id that builds the sandbox may not make it there: make it by hand.",
    "nsvisor plan {instance}",
)
_CANNOT_TRANSLATE: Row = (
    "Its file system, or one mounted below it, cannot translate owners, or does so already.",
    "findmnt -R -o TARGET,FSTYPE,OPTIONS -T {detail}",
)
_ROOT_CLOSED: Row = (
    "The root directory is closed to the id that builds the sandbox, which is not yours where more ids are mapped.",
    "nsvisor plan {instance}",
)
BY_SYSCALL: dict[tuple[str, str, str], Row] = {
    ("mount.bind", "EINVAL", "mount.idmap"): _CANNOT_TRANSLATE,
    ("rootfs.prepare", "EINVAL", "mount.idmap"): _CANNOT_TRANSLATE,
    ("mount.dev", "EACCES", "mkdirat"): _NO_MOUNT_POINT,
    ("mount.dev", "EACCES", "openat2"): _ROOT_CLOSED,
    ("mount.proc", "EACCES", "mkdirat"): _NO_MOUNT_POINT,
    ("mount.proc", "EACCES", "openat2"): _ROOT_CLOSED,
    ("id.user", "ENOENT", "getgrnam"): (
        "A name in groups is not in the sandbox's /etc/group.",
        "nsvisor plan {instance}",
    ),
}
OUTSIDE_SLICE: Row = (
    'With id_map = "auto" the ids inside are 0 to id_count - 1; the user or a group has another.',
    "nsvisor plan {instance}",
)
NO_TRANSLATION: Row = (
    "Only root may have the owners of a mount translated; give the files to the worker's ids instead.",
    "ls -ln {detail}",
)
NOT_COVERED: Row = (
    "Beside its own id a user may map those that /etc/subuid and /etc/subgid give it, and no others.",
    "grep -e {user} /etc/subuid /etc/subgid",
)
