"""What is wrong at the place inside that is mounted over. {target} is its path as the host has it.

The call tells: the source is opened by open_tree, fsopen and the like, the target by those below.
"""

Row = tuple[str, str | None]

READ_ONLY: Row = (
    "The target does not exist and cannot be made: what it would lie in is read-only.",
    "nsvisor plan {instance}",
)
A_FILE: Row = ("A part of the target's path is a file, not a directory.", "namei -l {target}")
LINK: Row = (
    "A symbolic link on the target's path goes round in circles, or is a link of /proc.",
    "namei -l {target}",
)
DANGLING: Row = ("The target is a symbolic link that leads nowhere inside the sandbox.", "namei -l {target}")
NO_DIRECTORY: Row = ("The target is a file; this needs a directory.", "stat {target}")
NO_FILE: Row = ("The target is a directory; this needs a file, or nothing there.", "stat {target}")
KINDS: Row = (
    "One is a directory, the other a file: source and target must be of one kind.",
    "stat {detail} {target}",
)
CLOSED: Row = ("The target cannot be made: its directory is not this user's.", "namei -l {target}")
FULL: Row = ("This mount namespace is full.", "sudo sysctl -w fs.mount-max=200000")

# What is mounted on a directory; on a file; on what is of the source's kind.
_DIRECTORIES = (
    *("mount.dev", "mount.proc", "mount.sysfs", "mount.cgroup", "mount.mqueue", "mount.devpts", "mount.tmpfs"),
    "mount.overlay",
)
_FILES = ("mount.file", "mount.secret")
_ANY = (*_DIRECTORIES, *_FILES, "mount.bind")
_AT_TARGET: dict[tuple[str, str], Row] = {
    ("ELOOP", "openat2"): LINK,
    ("ENOTDIR", "openat2"): A_FILE,
    ("EEXIST", "openat"): DANGLING,
    ("EROFS", "openat"): READ_ONLY,
    ("EROFS", "mkdirat"): READ_ONLY,
    ("EACCES", "mkdirat"): CLOSED,
    ("EACCES", "openat"): CLOSED,
    ("EACCES", "openat2"): CLOSED,
    ("ENOSPC", "move_mount"): FULL,
}
BY_SYSCALL: dict[tuple[str, str, str], Row] = {
    **{(phase, *failure): row for phase in _ANY for failure, row in _AT_TARGET.items()},
    **{(phase, "EEXIST", "mkdirat"): DANGLING for phase in (*_DIRECTORIES, "mount.bind")},
    **{(phase, "EINVAL", "move_mount"): NO_DIRECTORY for phase in _DIRECTORIES},
    **{(phase, "EINVAL", "move_mount"): NO_FILE for phase in _FILES},
    ("mount.bind", "EINVAL", "move_mount"): KINDS,
}
