"""The words of a mount's options, as the kernel's attributes."""

from __future__ import annotations

from supervisor.kernel import mounts as kernel

DEFAULT = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
CLOSED = DEFAULT | kernel.MOUNT_ATTR_NOEXEC  # the kernel's own file systems hold no programs
SET = {
    "ro": kernel.MOUNT_ATTR_RDONLY,
    "nosuid": kernel.MOUNT_ATTR_NOSUID,
    "nodev": kernel.MOUNT_ATTR_NODEV,
    "noexec": kernel.MOUNT_ATTR_NOEXEC,
    "nodiratime": kernel.MOUNT_ATTR_NODIRATIME,
    "nosymfollow": kernel.MOUNT_ATTR_NOSYMFOLLOW,
    "noatime": kernel.MOUNT_ATTR_NOATIME,
    "strictatime": kernel.MOUNT_ATTR_STRICTATIME,
}
LEAVE = {
    "rw": kernel.MOUNT_ATTR_RDONLY,
    "suid": kernel.MOUNT_ATTR_NOSUID,
    "dev": kernel.MOUNT_ATTR_NODEV,
    "exec": kernel.MOUNT_ATTR_NOEXEC,
}
ACCESS_TIMES = ("relatime", "noatime", "strictatime")
PROPAGATION = {"private": kernel.MS_PRIVATE, "slave": kernel.MS_SLAVE, "shared": kernel.MS_SHARED}


class Options:
    """What a mount is to be: a restriction of the default is left out where its opposite is among the words."""

    def __init__(self, words: tuple[str, ...], default: int = DEFAULT, *, read_only: bool = False) -> None:
        """Words that are no options are passed over."""
        attributes = default | (kernel.MOUNT_ATTR_RDONLY if read_only else 0)
        for word in words:
            attributes = (attributes & ~LEAVE.get(word, 0)) | SET.get(word, 0)
        self.attributes = attributes
        # A time that is set takes the place of the inherited one.
        self.clear = kernel.MOUNT_ATTR_ATIME_MASK if any(word in ACCESS_TIMES for word in words) else 0
        self.propagation = next((PROPAGATION[word] for word in words if word in PROPAGATION), kernel.MS_PRIVATE)

    def apply(self, tree: int, *, recursive: bool, subject: str) -> None:
        """Add them to a mount's own; what it is without stays away, for only its owner may clear it.

        Private unless said otherwise: what the host mounts below it later would come in without these restrictions.
        """
        propagation = kernel.MS_PRIVATE if self.propagation == kernel.MS_PRIVATE else 0
        kernel.set_attributes(
            tree, self.attributes, clear=self.clear, propagation=propagation, recursive=recursive, subject=subject
        )
