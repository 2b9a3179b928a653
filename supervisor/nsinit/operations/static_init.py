"""PID 1 as a program of the host's (catatonit, tini), executed by its descriptor: it need not be in the sandbox."""

from __future__ import annotations

import os

from supervisor.kernel import files
from supervisor.kernel import process as kernel
from supervisor.nsinit.box import Box


def open_init(box: Box, path: str) -> None:
    """init.open: while the host's root can still be seen."""
    box.static_init_fd = files.open_file(path, os.O_RDONLY | os.O_CLOEXEC)


def become_init(box: Box, name: str, argv: tuple[str, ...], environment: dict[str, str]) -> None:
    """Execute it; it starts the command. It is alike to the workload, and dumpable as that is."""
    box.channel.exec(box.index, box.channel.now())
    if not box.filtered:
        kernel.unblock_signals()
    os.execve(box.static_init_fd, [name, "--", *argv], environment)  # noqa: S606  (there is no shell here)
