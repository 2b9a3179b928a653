"""Where slices of ids may come from on this host, and which ids there are another's."""

import grp
import os
import pwd
from collections.abc import Iterator

from supervisor.host.subid import all_lines
from supervisor.spec.facts import HostFacts, IdRange, IdSlice

# For containers of a privileged manager, 65,536 each (systemd.io/UIDS-GIDS; systemd-nspawn's --private-users=pick).
FIRST, LAST = 0x00080000, 0x6FFFFFFF
ORDINARY_COUNT, PICKED_COUNT = 1024, 65536
NSPAWN_LOCKS = "/run/systemd/nspawn-uid"


def picks(facts: HostFacts) -> bool:
    """Whether slices come from the host's range for containers: of root, unless /etc/subuid names root."""
    return facts.privileged and not (facts.subuids and facts.subgids)


def default_count(facts: HostFacts) -> int:
    """Ids of a worker that does not say how many."""
    return PICKED_COUNT if picks(facts) else ORDINARY_COUNT


def pools(facts: HostFacts, uid_map: str = "/proc/self/uid_map") -> tuple[IdSlice, ...]:
    """Where slices come from. uid_map: of this process: what its own user namespace lacks cannot be mapped."""
    if not picks(facts):
        pairs = zip(facts.subuids, facts.subgids, strict=False)
        return tuple(IdSlice(uids.start, gids.start, min(uids.count, gids.count)) for uids, gids in pairs)
    found = []
    with open(uid_map, encoding="ascii") as file:
        for line in file:
            inside, _, count = map(int, line.split())
            start, end = max(inside, FIRST), min(inside + count - 1, LAST)
            start = -(-start // PICKED_COUNT) * PICKED_COUNT
            if start <= end:
                found.append(IdSlice(start, start, end - start + 1))
    return tuple(found)


def taken(facts: HostFacts, etc: str = "/etc", locks: str = NSPAWN_LOCKS) -> tuple[IdRange, ...]:
    """Ids in the host's range for containers that are somebody's: of accounts, subordinate, of systemd-nspawn.

    The name services are not asked for all their users, which may be many: `account_at` asks for one.
    """
    if not picks(facts):
        return ()  # the user's alone, says the administrator
    return tuple(span for span in _of_others(etc, locks) if span.start + span.count > FIRST and span.start <= LAST)


def _of_others(etc: str, locks: str) -> Iterator[IdRange]:
    for name in ("passwd", "group"):
        try:
            with open(f"{etc}/{name}", encoding="utf-8", errors="replace") as file:
                rows = [line.split(":") for line in file]
        except OSError:
            continue
        yield from (IdRange(int(row[2]), 1) for row in rows if len(row) > 2 and row[2].strip().isdecimal())
    for name in ("subuid", "subgid"):
        yield from (span for _, span in all_lines(f"{etc}/{name}"))
    try:
        machines = os.listdir(locks)
    except OSError:
        return
    yield from (IdRange(int(name), PICKED_COUNT) for name in machines if name.isdecimal())


def account_at(ids: IdSlice) -> bool:
    """Whether a name service knows the first user or group of a slice (what systemd-nspawn asks, too)."""
    try:
        pwd.getpwuid(ids.uid)
    except KeyError:
        pass
    else:
        return True
    try:
        grp.getgrgid(ids.gid)
    except KeyError:
        return False
    return True
