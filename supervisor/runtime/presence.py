"""Waiting until a file is not at its path any more, without looking again and again."""

import os
from collections.abc import Callable
from contextlib import suppress

import trio

from supervisor.kernel import inotify

LOOK_S = 3.0  # between two looks, where the kernel has no inotify instance to give
SETTLE_S = 2.0  # who deletes a directory is to be through with it: rmdir(2) fails where something is made in it again


async def until_missing(path: str, is_there: Callable[[], bool]) -> None:
    """Return once `is_there` has said no for SETTLE_S: asked when the file, or a directory above it, has moved."""
    while True:
        await trio.lowlevel.checkpoint()
        try:
            fd = inotify.inotify_init()
        except OSError:
            fd = -1
        try:
            watched = fd >= 0 and _watch(fd, path)
            if not is_there():  # only now: what comes after is told
                await trio.sleep(SETTLE_S)
                if not is_there():
                    return
            elif watched:
                await trio.lowlevel.wait_readable(fd)
            else:
                await trio.sleep(LOOK_S)
        finally:
            if fd >= 0:
                os.close(fd)


def _watch(fd: int, path: str) -> bool:
    """Whether the kernel will tell."""
    gone = inotify.IN_ATTRIB | inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF
    try:
        inotify.add_watch(fd, path, gone | inotify.IN_DONT_FOLLOW)
    except OSError:
        return False
    above = os.path.dirname(path)
    while above != os.path.dirname(above):
        with suppress(OSError):  # one that may not be read: who could move it is root
            inotify.add_watch(fd, above, inotify.IN_MOVE_SELF | inotify.IN_ONLYDIR)
        above = os.path.dirname(above)
    return True
