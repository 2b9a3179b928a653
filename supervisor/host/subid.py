"""Subordinate ids: the user's ranges in /etc/subuid and /etc/subgid, and the helpers that map them."""

import os
import re
import shutil
import stat
import subprocess

from supervisor.spec.facts import IdRange

SUFFICIENT = 65536  # all ids that a distribution's packages use


LONGEST_S = 10.0  # for a name service to answer


def sufficient_range(ranges: tuple[IdRange, ...]) -> IdRange | None:
    """The first range of at least 65,536 ids, else the largest; None where there is none."""
    sufficient = [item for item in ranges if item.count >= SUFFICIENT]
    return sufficient[0] if sufficient else max(ranges, key=lambda item: item.count, default=None)


def subordinate_ranges(path: str, user: str, uid: int, nsswitch: str = "/etc/nsswitch.conf") -> tuple[IdRange, ...]:
    """All ranges of a user, in order (subuid(5): by name or by number); none where there is no line or no file.

    Where nsswitch.conf has another source than files, getsubids(1) is asked instead.
    """
    if _from_elsewhere(nsswitch):
        return _getsubids(path, user or str(uid))
    return tuple(span for owner, span in all_lines(path) if owner in {user, str(uid)})


def all_lines(path: str) -> list[tuple[str, IdRange]]:
    """Every line that makes sense: its user, by name or number, and the range."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:  # absent or not readable: as good as no line
        return []
    found = []
    for line in lines:
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] and fields[1].isdecimal() and fields[2].isdecimal() and int(fields[2]) > 0:
            found.append((fields[0], IdRange(start=int(fields[1]), count=int(fields[2]))))
    return found


def _from_elsewhere(nsswitch: str) -> bool:
    try:
        with open(nsswitch, encoding="utf-8", errors="replace") as file:
            found = re.search(r"^\s*subid:([^#\n]*)", file.read(), re.MULTILINE)
    except OSError:
        return False
    return found is not None and found[1].split() not in ([], ["files"])


def _getsubids(path: str, user: str) -> tuple[IdRange, ...]:
    """Read lines as `0: ada 100000 65536`. None where the program is not there or does not answer."""
    program = shutil.which("getsubids")
    if program is None:
        return ()
    option = ["-g"] if path.endswith("gid") else []
    try:
        done = subprocess.run([program, *option, user], capture_output=True, text=True, check=False, timeout=LONGEST_S)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    rows = [line.split() for line in done.stdout.splitlines()]
    return tuple(IdRange(int(row[-2]), int(row[-1])) for row in rows if len(row) >= 3 and row[-1].isdecimal())


def may_map(helper: str) -> bool:
    """Whether newuidmap or newgidmap has what it needs: set-uid root, or file capabilities."""
    try:
        status = os.stat(helper)
        if status.st_mode & stat.S_ISUID and status.st_uid == 0:
            return True
        return bool(os.getxattr(helper, "security.capability"))
    except OSError:  # ENODATA: none of the two
        return False
