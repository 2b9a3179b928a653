"""What a daemon and its keeper have: processes, descriptors, mounts, locks, network devices, cgroups, files."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.census import devices
from tests.e2e.daemons import Daemon

Belongings = dict[str, list[str]]


def belongings(daemon: Daemon, cgroup: Path | None = None) -> Belongings:
    """As lists that can be compared; numbers that differ from launch to launch are left out."""
    keeper = daemon.keeper_pid()
    found: Belongings = {
        "processes of the keeper": sorted(_below(keeper)),
        "processes of the daemon": sorted(name for name in _below(daemon.pid) if name != "nsinit: keeper"),
        "cgroups": sorted(_directories(cgroup)) if cgroup is not None else [],
        "runtime files": _files(daemon.program.runtime),
        "state files": _files(daemon.program.state),
        "network devices": sorted(devices(daemon.pid)),
    }
    of_keepers = {_file_id(path) for path in daemon.program.state.glob("**/keepers/keeper-*")}
    for name, pid in (("daemon", daemon.pid), ("keeper", keeper)):
        found[f"descriptors of the {name}"] = sorted(_descriptors(pid))
        found[f"mounts of the {name}"] = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
        found[f"locks of the {name}"] = sorted(_locks(pid, of_keepers))
    return found


def added(before: Belongings, after: Belongings) -> list[str]:
    """What is there and was not."""
    return [
        f"{kind}: {one}" for kind, had in before.items() for one in (Counter(after[kind]) - Counter(had)).elements()
    ]


def keys_of(uid: int) -> int:
    """How many keys and keyrings a user has (proc_key-users(5))."""
    for line in Path("/proc/key-users").read_text().splitlines():
        owner, _, counts = line.partition(":")
        if int(owner) == uid:
            return int(counts.split()[1].partition("/")[0])
    return 0


def _below(pid: int) -> Iterator[str]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                yield Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ").strip()
                yield from _below(int(child))
            except (FileNotFoundError, ProcessLookupError):  # gone meanwhile
                continue


def _descriptors(pid: int) -> Iterator[str]:
    """But for connections with clients of the API, which linger for a second."""
    paths: dict[str, str] = {}
    for who in (str(pid), "self"):  # an accepted socket belongs to the client's network namespace
        rows = [line.split() for line in Path(f"/proc/{who}/net/unix").read_text().splitlines()]
        paths |= {row[6]: row[7] for row in rows if len(row) > 7}
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            kind, _, inode = os.readlink(fd).rstrip("]").partition(":[")
        except FileNotFoundError:  # closed meanwhile
            continue
        path = paths.get(inode, "")
        if not path.endswith("/control.sock"):
            yield _without_number(path or kind)


def _locks(pid: int, of_keepers: set[str]) -> Iterator[str]:
    """But for those of the keepers' records, which their daemon has taken for them."""
    for line in Path("/proc/locks").read_text().splitlines():
        _, kind, _, access, owner, file, *_ = line.replace("-> ", "").split()
        if owner == str(pid) and file not in of_keepers:
            yield f"{kind} {access} {file}"


def _file_id(path: Path) -> str:
    """As in /proc/locks."""
    status = path.stat()
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"


def _without_number(path: str) -> str:
    """A keeper that is replaced leaves its number to nobody."""
    return re.sub(r"(?:/proc/self/fd/\d+|.*/keepers)/keeper-\d+", "keepers/keeper-N", path)


def _directories(top: Path) -> Iterator[str]:
    """Those named after a keeper's pid without it."""
    for directory, _, _ in os.walk(top):
        yield re.sub(r"nsvisor-\d+", "nsvisor-PID", directory)


def _files(top: Path) -> list[str]:
    names = (str(path.relative_to(top)) for path in top.rglob("*"))
    return sorted(re.sub(r"/keeper-\d+", "/keeper-N", name) for name in names)
