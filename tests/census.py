"""What a test leaves behind: processes, mounts, network devices, cgroups, descriptors.

Only what is ours: others may test on this machine at the same time. Our processes are those below us (we adopt their
orphans); our cgroups are those that hold such; mounts in a temporary folder that another run made are not ours. It is
looked before and after every test, which takes some milliseconds.
"""

import ctypes
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.cgroups import own_place

PR_SET_CHILD_SUBREAPER = 36
PATIENCE_S = 3.0


def adopt_orphans() -> None:
    """Become the parent of every orphan among our descendants, so that none can hide."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def children() -> set[int]:
    """Our children, those adopted among them."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update(int(pid) for pid in (task / "children").read_text().split())
        except FileNotFoundError:  # the thread has ended
            continue
    return found


_make_folder = tempfile.mkdtemp
_folders: set[str] = set()  # temporary ones, that this run has made


def note_folders() -> None:
    """From now on, know the temporary folders that are ours."""

    def mkdtemp(*arguments: Any, **options: Any) -> str:
        folder: str = _make_folder(*arguments, **options)
        _folders.add(os.path.realpath(folder))
        return folder

    tempfile.mkdtemp = mkdtemp  # type: ignore[assignment]


def note_folder(folder: Path) -> None:
    """One that was made by other means."""
    _folders.add(os.path.realpath(folder))


def mounts() -> set[str]:
    """The mount points of this namespace, but for those in temporary folders of others."""
    return of_this_run({line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()})


def of_this_run(points: set[str]) -> set[str]:
    """Those elsewhere than in the temporary folder, and those in what we have made there."""
    temporary = os.path.realpath(tempfile.gettempdir()) + "/"
    return {one for one in points if not one.startswith(temporary) or any(map(f"{one}/".startswith, _ours()))}


def _ours() -> list[str]:
    return [f"{folder}/" for folder in _folders]


def devices(pid: int | str = "self") -> set[str]:
    """The network devices that a process sees."""
    return {line.partition(":")[0].strip() for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]}


def descriptors() -> set[str]:
    """Of this process: number and what it is. Not files: a command that a test runs in here leaves them to its end."""
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        try:
            link = os.readlink(fd)
        except FileNotFoundError:  # the listing's own
            continue
        if not link.startswith("/"):
            found.add(f"{fd.name} {link}")
    return found


def abandoned_cgroups() -> set[str]:
    """Trees of dead keepers, beside us, that hold processes of ours; empty ones are swept by the next keeper."""
    place = own_place()
    names = [] if place is None else os.listdir(place)
    trees = [Path(str(place), name) for name in names if name.startswith("nsvisor-")]
    return {
        str(tree)
        for tree in trees
        if not Path("/proc", tree.name.removeprefix("nsvisor-")).exists() and _is_populated(tree) and _holds_ours(tree)
    }


def _holds_ours(cgroup: Path) -> bool:
    found: list[str] = []
    for folder, _, _ in os.walk(cgroup):
        with suppress(OSError):  # removed meanwhile
            found += Path(folder, "cgroup.procs").read_text().split()
    return any(_is_below_us(int(pid)) for pid in found)


def _is_below_us(pid: int) -> bool:
    while pid > 1 and pid != os.getpid():
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            return False
    return pid > 1


def _is_populated(cgroup: Path) -> bool:
    try:
        return "populated 1" in (cgroup / "cgroup.events").read_text()
    except OSError:  # removed meanwhile
        return False


def belongings() -> dict[str, set[str]]:
    """What there is beside processes."""
    return {
        "mount": mounts(),
        "network device": devices(),
        "cgroup": abandoned_cgroups(),
        "descriptor": descriptors(),
    }


def left_behind(before: dict[str, set[str]]) -> list[str]:
    """One line for each of these that was not there before, once it has had time to go."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        after = belongings()
        new = [f"{kind} {one}" for kind, had in before.items() for one in sorted(after[kind] - had)]
        if not new or time.monotonic() > deadline:
            return new
        time.sleep(0.02)


def leftover(before: set[int]) -> list[str]:
    """One line for each child that was not there before, once it has had time to leave."""
    deadline = time.monotonic() + PATIENCE_S
    while new := {pid for pid in children() - before if not _reaped(pid)}:
        if time.monotonic() > deadline:
            return [_describe(pid) for pid in sorted(new)]
        time.sleep(0.02)
    return []


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def _describe(pid: int) -> str:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        command = "(gone meanwhile)"
    return f"{pid}: {command}"
