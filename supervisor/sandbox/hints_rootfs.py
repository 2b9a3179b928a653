"""Hints of overlays: as the root, and as a mount. Merged into hint_table.py."""

from supervisor.spec import remedies

_LOCKED = (
    "Another sandbox has this directory mounted for writing; two at once would corrupt what is in it.",
    "lslocks -o COMMAND,PID,TYPE,PATH | grep FLOCK",
)
_LAYERS = (
    "Upper and work must be in one mount of a file system that is no overlay, NFS or FAT; below lower no mounts.",
    "findmnt -T {detail}",
)
_OWN_LAYER = ("A directory is above or below another one of the same overlay.", "namei -l {detail}")
_NO_OVERLAY = ("The kernel has no overlayfs.", remedies.LOAD_OVERLAY)
_OLD = (
    "Overlays in a user namespace need Linux 5.11, and a security module may forbid them.",
    "nsvisor doctor",
)
_WORK = (
    "The work directory cannot be made beside the upper one: name another of the same file system by `work`.",
    "namei -l {detail}",
)
_UNMAPPED = (
    "A file belongs to an id that the sandbox does not map, and so cannot be copied to the upper directory.",
    'nsvisor plan {instance}  # id_map = "keep-id" or "auto" maps a range',
)

TABLE: dict[str, dict[str, tuple[str, str | None]]] = {
    "mount.overlay": {
        "ENOENT": ("A directory of the overlay does not exist on the host.", "ls -ld {detail}"),
        "ENOTDIR": ("A part of the path, or the target inside, is no directory.", "namei -l {detail}"),
        "EPERM": _OLD,
        "EACCES": ("A directory of the overlay is closed to this user.", "namei -l {detail}"),
        "EROFS": (
            "Nothing can be written where the upper directory lies, or the mount point cannot be made.",
            "findmnt -T {detail}",
        ),
        "ENOSPC": ("The size is too small, the disk is full, or the mount namespace is.", "df -h {detail}"),
    },
}
TIMEOUTS: dict[str, tuple[str, str | None]] = {
    "mount.overlay": (
        "The file system behind it does not answer: a dead network or FUSE server.",
        "timeout 5 stat -f {detail}",
    ),
}
_BY_CALL: dict[tuple[str, str], tuple[str, str | None]] = {
    ("EAGAIN", "flock"): _LOCKED,
    ("EINVAL", "fsconfig"): _LAYERS,
    ("EINVAL", "mount"): _LAYERS,
    ("ELOOP", "fsconfig"): _OWN_LAYER,
    ("ELOOP", "mount"): _OWN_LAYER,
    ("ENODEV", "fsopen"): _NO_OVERLAY,
    ("ENODEV", "mount"): _NO_OVERLAY,
    ("EACCES", "mkdirat"): _WORK,
    ("EPERM", "mkdirat"): _WORK,
    ("EROFS", "mkdirat"): _WORK,
    ("ESRCH", "hold"): ("The keeper, which holds the upper directory's lock, has ended.", "nsvisor events"),
}
BY_SYSCALL: dict[tuple[str, str, str], tuple[str, str | None]] = {
    (phase, number, call): row
    for phase in ("rootfs.prepare", "mount.overlay")
    for (number, call), row in _BY_CALL.items()
}
BY_SYSCALL["mount.overlay", "EACCES", "openat"] = TABLE["mount.overlay"]["EACCES"]  # not the target's
BY_SYSCALL["mount.overlay", "EINVAL", "move_mount"] = (
    "The target is a file; an overlay needs a directory.",
    "nsvisor plan {instance}",
)
ANYWHERE: dict[str, tuple[str, str | None]] = {"EOVERFLOW": _UNMAPPED}
