"""What kinds of descriptors a process holds."""

import os
import re
import time
from collections import Counter
from pathlib import Path

import psutil

CONNECTION = "connection with a client"
LISTENING = "00010000"  # __SO_ACCEPTCON
QUIET_S = 15.0  # for connections to be let go of: a daemon keeps one for a second after its client has left
PAUSE_S = 0.1


def kinds(pid: int) -> Counter[str]:
    """How many of each. OSError where the process is gone."""
    sockets = _unix_sockets(pid)
    found: Counter[str] = Counter()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(fd)
        except FileNotFoundError:  # closed meanwhile
            continue
        found[sockets.get(target) or _kind(target)] += 1
    return found


def quiet_kinds(process: psutil.Process) -> Counter[str]:
    """The same, once its clients' connections have ended; with them where they do not. Nobody may ask it anything."""
    deadline = time.monotonic() + QUIET_S
    while (found := kinds(process.pid))[CONNECTION] and time.monotonic() < deadline:
        time.sleep(PAUSE_S)
    return found


def difference(now: Counter[str], before: Counter[str]) -> str:
    """The kinds that there are more of, those that grew most first."""
    return ", ".join(f"{kind} {before[kind]} -> {now[kind]}" for kind, _ in (now - before).most_common())


def _unix_sockets(pid: int) -> dict[str, str]:
    """Those with a path: what /proc/PID/fd calls it, and its kind."""
    found = {}
    for who in (str(pid), "self"):  # an accepted socket belongs to the client's network namespace
        for line in Path(f"/proc/{who}/net/unix").read_text().splitlines()[1:]:
            row = line.split()
            if len(row) > 7:  # Num RefCount Protocol Flags Type St Inode Path
                name = os.path.basename(row[7])
                is_connection = name == "control.sock" and row[3] != LISTENING
                found[f"socket:[{row[6]}]"] = CONNECTION if is_connection else f"socket {name}"
    return found


def _kind(target: str) -> str:
    if not target.startswith("/"):
        return re.sub(r":\[\d+\]$", "", target)
    if target.startswith("/sys/fs/cgroup/"):
        return "cgroup"
    return os.path.splitext(target)[1] or target
