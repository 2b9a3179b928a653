"""The daemon's own directories: made 0700, and refused where somebody else could write to them."""

import os
import stat


class DirectoryError(Exception):
    """A directory of the daemon's cannot be used: which, why, and what to do."""


def private_directory(path: str) -> str:
    """Make a directory (0700) and its parents, or check the one that is there. DirectoryError."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        found = os.lstat(path)
    except OSError as error:
        raise DirectoryError(f"cannot make {path}: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise DirectoryError(f"cannot use {path}: it is not a directory")
    if found.st_uid != os.geteuid():
        raise DirectoryError(f"cannot use {path}: it belongs to uid {found.st_uid}, not to {os.geteuid()}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        try:
            os.chmod(path, 0o700)
        except OSError as error:
            raise DirectoryError(f"cannot close {path} to others: {error.strerror}; chmod 700 it") from None
    return path
