"""Descriptors of the namespaces that a sandbox joins."""

import os
import select
from collections.abc import Callable

from supervisor.kernel import clone as flags
from supervisor.kernel import namespaces
from supervisor.sandbox.plan import Join

FLAGS = {
    "user": flags.CLONE_NEWUSER,
    "mount": flags.CLONE_NEWNS,
    "uts": flags.CLONE_NEWUTS,
    "ipc": flags.CLONE_NEWIPC,
    "network": flags.CLONE_NEWNET,
    "cgroup": flags.CLONE_NEWCGROUP,
    "time": flags.CLONE_NEWTIME,
    "pid": flags.CLONE_NEWPID,
}
# The file below /proc/PID/ns. A sandbox's PID 1 lives outside the time namespace that it made for its children.
FILES = {"mount": "mnt", "network": "net", "time": "time_for_children", "pid": "pid_for_children"}
ALREADY_IN = 0  # instead of a flag: nothing to be joined

Pids = Callable[[str], tuple[int, int]]  # worker's name -> pid and pidfd of its sandbox's first process; LookupError


class JoinError(Exception):
    """A namespace to be joined is not there: which join, and why."""

    def __init__(self, index: int, error: OSError) -> None:
        super().__init__(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
        self.index = index
        self.error = error


def open_joins(joins: tuple[Join, ...], pids: Pids) -> tuple[list[int], list[int]]:
    """Open every namespace to be joined: descriptors, and for each its CLONE_NEW* flag. JoinError."""
    fds: list[int] = []
    kinds: list[int] = []
    for index, join in enumerate(joins):
        try:
            fd, kind = _open(join, pids)
        except OSError as error:
            for opened in fds:
                os.close(opened)
            raise JoinError(index, error) from None
        fds.append(fd)
        kinds.append(kind)
    return fds, kinds


def _open(join: Join, pids: Pids) -> tuple[int, int]:
    fd = _target(join, pids)
    if join.owner:
        try:
            owner = namespaces.owner(fd)
        finally:
            os.close(fd)
        return owner, ALREADY_IN if _is_ours(owner, "user") else FLAGS["user"]
    return fd, ALREADY_IN if join.kind == "user" and _is_ours(fd, "user") else FLAGS[join.kind]


def _target(join: Join, pids: Pids) -> int:
    scheme, _, name = join.reference.partition(":")
    if scheme == "path":
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would hold us up
    pid, pidfd = pids(name) if scheme == "worker" else (int(name), -1)
    # A worker may have made a pid namespace for its children: that one is not the sandbox's.
    file = "pid" if join.kind == "pid" and scheme == "worker" else FILES.get(join.kind, join.kind)
    fd = _namespace(pid, file, ours=scheme == "worker")
    if pidfd >= 0 and _has_ended(pidfd):  # then the number may have been another's already
        os.close(fd)
        raise ProcessLookupError(3, f"{name} has ended")
    return fd


def _namespace(pid: int, file: str, *, ours: bool) -> int:
    """Of a process; of the workload below it where it is a PID 1 of ours, which hides itself."""
    try:
        return os.open(f"/proc/{pid}/ns/{file}", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        workload = _first_child(pid) if ours or _is_nsinit(pid) else None
        if workload is None:
            raise
        fd = os.open(f"/proc/{workload}/ns/{file}", os.O_RDONLY | os.O_CLOEXEC)
        if _first_child(pid) != workload:  # then the number may have been another's already
            os.close(fd)
            raise ProcessLookupError(3, f"process {pid} is ending") from None
        return fd


def _is_nsinit(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read() == "nsinit\n"
    except OSError:
        return False


def _first_child(pid: int) -> str | None:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return next(iter(file.read().split()), None)
    except OSError:
        return None


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _is_ours(fd: int, kind: str) -> bool:
    ours, theirs = os.stat(f"/proc/self/ns/{kind}"), os.fstat(fd)
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
