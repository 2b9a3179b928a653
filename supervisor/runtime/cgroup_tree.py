"""Where a keeper's workers have their cgroups: found from the keeper's own place, with the controllers that are there.

nsvisor-workers-….scope/        the delegated scope, or below our own cgroup a directory nsvisor-PID
├─ keeper/                      a leaf: a cgroup with controllers below it takes no process itself
└─ web-0#17/
"""

import errno
import os
import time
from collections.abc import Collection
from contextlib import suppress

import trio

from supervisor.runtime.cgroup import Cgroup
from supervisor.spec.cgroup_files import CONTROLLERS
from supervisor.spec.facts import CgroupFacts

LEAF = "keeper"
SCOPE = "nsvisor-workers-"
SUBTREE = "nsvisor-"
MOVE_TIMEOUT_S = 1.0
END_PAUSE_S = 0.005
SWEEP_TIMEOUT_S = 0.2  # for what was killed to be gone


class CgroupTree:
    """Of one keeper. `directory` is None where no cgroups can be made; facts say why."""

    def __init__(self, directory: str | None, facts: CgroupFacts) -> None:
        self.directory = directory
        self.facts = facts

    def cgroup(self, name: str) -> Cgroup | None:
        """That of an incarnation, there or not."""
        return Cgroup(os.path.join(self.directory, name)) if self.directory is not None else None

    def sweep(self, held: Collection[str]) -> list[str]:
        """End and remove what no incarnation that the keeper holds has: the names of those that were there."""
        if self.directory is None:
            return []
        left = [name for name in _children(self.directory) if name != LEAF and name not in held]
        for name in left:
            cgroup = Cgroup(os.path.join(self.directory, name))
            if not cgroup.remove():
                cgroup.kill()
        return left

    @property
    def is_scope(self) -> bool:
        """Whether a service manager made it, and ends it."""
        return self.directory is not None and _is_scope(self.directory)

    @property
    def can_kill(self) -> bool:
        """Whether all processes of a cgroup can be killed at once (Linux 5.14)."""
        return self.directory is not None and os.path.exists(os.path.join(self.directory, LEAF, "cgroup.kill"))

    async def end(self, held: Collection[str], timeout_s: float) -> list[str]:
        """Of a dead keeper's: sweep it, and wait a while until that is gone. The names of what lived there."""
        if self.directory is None:
            return []
        names = [os.path.basename(cgroup.path) for cgroup in self.alive(held)]
        with trio.move_on_after(timeout_s):
            while True:
                self.sweep(held)
                _remove(os.path.join(self.directory, LEAF))
                if not self.alive(held):
                    break
                await trio.sleep(END_PAUSE_S)
        return names

    def alive(self, held: Collection[str]) -> list[Cgroup]:
        """Those of other incarnations in which something lives."""
        if self.directory is None:
            return []
        others = [name for name in _children(self.directory) if name not in held and name != LEAF]
        cgroups = [Cgroup(os.path.join(self.directory, name)) for name in others]
        return [cgroup for cgroup in cgroups if cgroup.is_populated()]

    def is_empty(self) -> bool:
        """Whether no incarnation has its cgroup there, nor the keeper."""
        return self.directory is None or not os.path.isdir(self.directory) or not _children(self.directory)

    def has_no_workers(self) -> bool:
        """Whether no incarnation has its cgroup there."""
        return self.directory is None or not set(_children(self.directory)) - {LEAF}

    def remove(self) -> None:
        """Once the keeper has left. A scope is its service manager's to remove."""
        if self.directory is None:
            return
        deadline = time.monotonic() + SWEEP_TIMEOUT_S
        paths = [os.path.join(self.directory, LEAF), *([] if _is_scope(self.directory) else [self.directory])]
        # Of a keeper that is not our child we have seen the socket's end, and it leaves its cgroup a moment later.
        while any(not _remove(path) for path in paths) and time.monotonic() < deadline:
            time.sleep(0.002)


def of_dead(directory: str) -> CgroupTree:
    """The tree of a keeper that is gone, as its record names it."""
    known = os.path.basename(directory).startswith(SUBTREE)
    return CgroupTree(directory if known else None, CgroupFacts(reason="its keeper is gone"))


NO_TREE = CgroupTree(None, CgroupFacts(reason="there is no keeper yet"))


def prepare(keeper_pid: int) -> CgroupTree:
    """Find or make the tree of a living keeper. Never raises: what is not possible is the facts' reason."""
    try:
        return _prepare(keeper_pid)
    except OSError as error:
        return _none(f"{error.filename or 'cgroup'}: {error.strerror}")


def _prepare(keeper_pid: int) -> CgroupTree:
    here = _place(keeper_pid)
    if here is None:
        return _none("no cgroup v2 file system is mounted")
    above, name = os.path.split(here)
    if name == LEAF and os.path.basename(above).startswith(SUBTREE):
        return _tree(above)  # as an earlier daemon made it
    if not os.access(here, os.W_OK | os.X_OK) or not os.access(os.path.join(here, "cgroup.procs"), os.W_OK):
        return _none(f"{here} is not delegated to this user")
    directory = here if _is_scope(here) else os.path.join(here, f"{SUBTREE}{keeper_pid}")
    leaf = os.path.join(directory, LEAF)
    if directory != here:
        _sweep_dead(here)
    os.makedirs(leaf, exist_ok=True)
    _move(here, leaf, None if directory == here else _family(keeper_pid))
    return _tree(directory)


def _none(reason: str) -> CgroupTree:
    return CgroupTree(None, CgroupFacts(reason=reason))


def _tree(directory: str) -> CgroupTree:
    """Enable each controller that is there for the workers' cgroups."""
    available = _words(os.path.join(directory, "cgroup.controllers"))
    reasons = []
    for controller in (one for one in CONTROLLERS if one in available):
        try:
            with open(os.path.join(directory, "cgroup.subtree_control"), "w", encoding="ascii") as file:
                file.write(f"+{controller}")
        except OSError as error:
            reasons.append(f"{controller} cannot be enabled: {error.strerror}")
    enabled = tuple(one for one in _words(os.path.join(directory, "cgroup.subtree_control")) if one in CONTROLLERS)
    if len(available) < len(CONTROLLERS):
        lacking = ", ".join(one for one in CONTROLLERS if one not in available)
        reasons.append(f"{directory} was given no {lacking} controller")
    return CgroupTree(directory, CgroupFacts(usable=True, controllers=enabled, reason="; ".join(reasons)))


def _is_scope(directory: str) -> bool:
    return os.path.basename(directory).startswith(SCOPE)


def _place(pid: int) -> str | None:
    """The directory of a process's cgroup in the cgroup2 file system; None where none is mounted that shows it."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        path = next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), None)
    if path is None:
        return None
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            root, point = fields.split()[3:5]
            inside = root in (path, "/") or path.startswith(f"{root}/")
            if rest.startswith("cgroup2 ") and inside and not path.startswith("/.."):
                found.append(os.path.normpath(os.path.join(point, os.path.relpath(path, root))))
    there = [place for place in found if os.path.isdir(place)]  # others are covered by a mount
    return next((place for place in there if os.access(place, os.W_OK)), there[0] if there else None)


def _family(pid: int) -> set[int]:
    """The keeper and what it has cloned ahead."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return {pid, *map(int, file.read().split())}


def _move(source: str, leaf: str, chosen: set[int] | None) -> None:
    """Move processes to the leaf: all (None), again and again while they fork, or those chosen."""
    deadline = time.monotonic() + MOVE_TIMEOUT_S
    while True:
        found = [int(word) for word in _words(os.path.join(source, "cgroup.procs"))]
        left = [pid for pid in found if chosen is None or pid in chosen]
        if not left or time.monotonic() > deadline:
            return
        for pid in left:
            with suppress(ProcessLookupError), open(os.path.join(leaf, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write(str(pid))


def _sweep_dead(here: str) -> None:
    """End and remove the trees of keepers that are gone: what they held was to die with them, whatever it did."""
    for name in _children(here):
        pid = name.removeprefix(SUBTREE)
        if not name.startswith(SUBTREE) or not pid.isdecimal() or _is_alive(pid):
            continue  # a scope, or a keeper that lives
        old = Cgroup(os.path.join(here, name))
        old.kill()
        deadline = time.monotonic() + SWEEP_TIMEOUT_S
        while not old.remove() and time.monotonic() < deadline:
            time.sleep(0.002)


def _remove(path: str) -> bool:
    """Whether it is gone."""
    try:
        os.rmdir(path)
    except OSError as error:
        return error.errno == errno.ENOENT
    return True


def _is_alive(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _children(directory: str) -> list[str]:
    """None where the directory is gone: a service manager removes a scope once it is empty."""
    try:
        with os.scandir(directory) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
        return []


def _words(path: str) -> list[str]:
    with open(path, encoding="ascii") as file:
        return file.read().split()
