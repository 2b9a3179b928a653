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
NOT_THERE: Row = (
    "The target does not exist and cannot be made there: below /proc or /sys, or in a directory that is gone.",
    "nsvisor plan {instance}",
)
FULL: Row = ("This mount namespace is full.", "sudo sysctl -w fs.mount-max=200000")

# In any phase that mounts, unless it has a row of its own for the call.
AT_TARGET: dict[tuple[str, str], Row] = {
    ("ELOOP", "openat2"): LINK,
    ("ENOTDIR", "openat2"): A_FILE,
    ("EEXIST", "mkdirat"): DANGLING,
    ("EEXIST", "openat"): DANGLING,
    ("EROFS", "mkdirat"): READ_ONLY,
    ("EROFS", "openat"): READ_ONLY,
    ("ENOENT", "mkdirat"): NOT_THERE,
    ("EPERM", "mkdirat"): NOT_THERE,
    ("EACCES", "mkdirat"): CLOSED,
    ("EACCES", "openat"): CLOSED,
    ("EACCES", "openat2"): CLOSED,
    ("EINVAL", "move_mount"): NO_DIRECTORY,
    ("ENOSPC", "move_mount"): FULL,
}
BY_SYSCALL: dict[tuple[str, str, str], Row] = {
    ("mount.bind", "EINVAL", "move_mount"): KINDS,
    ("mount.file", "EINVAL", "move_mount"): NO_FILE,
    ("mount.secret", "EINVAL", "move_mount"): NO_FILE,
}
