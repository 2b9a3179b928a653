"""Subordinate ids: the user's ranges in /etc/subuid and /etc/subgid, and the helpers that map them."""

import os
import stat

from supervisor.spec.facts import IdRange

SUFFICIENT = 65536  # all ids that a distribution's packages use


def subordinate_range(path: str, user: str, uid: int) -> IdRange | None:
    """The user's first range of at least 65,536 ids, else the largest (subuid(5): by name or by number).

    None where there is no line for the user, or no such file.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:  # absent or not readable: as good as no line
        return None
    ranges = []
    for line in lines:
        fields = line.strip().split(":")
        if len(fields) != 3 or not fields[0] or fields[0] not in {user, str(uid)}:
            continue
        if fields[1].isdecimal() and fields[2].isdecimal() and int(fields[2]) > 0:
            ranges.append(IdRange(start=int(fields[1]), count=int(fields[2])))
    sufficient = [item for item in ranges if item.count >= SUFFICIENT]
    return sufficient[0] if sufficient else max(ranges, key=lambda item: item.count, default=None)


def may_map(helper: str) -> bool:
    """Whether newuidmap or newgidmap has what it needs: set-uid root, or file capabilities."""
    try:
        status = os.stat(helper)
        if status.st_mode & stat.S_ISUID and status.st_uid == 0:
            return True
        return bool(os.getxattr(helper, "security.capability"))
    except OSError:  # ENODATA: none of the two
        return False
