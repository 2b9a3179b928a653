"""Checks of who the workers are outside: enough ids for those that have some of their own, and nobody else's."""

from collections.abc import Iterator

from supervisor.host import id_pools
from supervisor.host.check import Check
from supervisor.host.subid import all_lines
from supervisor.spec import remedies
from supervisor.spec.facts import HostFacts, IdRange
from supervisor.spec.model import Worker


def check_ids(workers: list[Worker], facts: HostFacts, etc: str = "/etc") -> Iterator[Check]:
    """Slices for id_map = "auto", lines of other users that overlap them, and workers that are the host's root."""
    made = [worker for worker in workers if worker.namespaces.user is True and not worker.uid_map]
    auto = [worker for worker in made if worker.id_map == "auto"]
    user = facts.user or str(facts.uid)
    if auto and (facts.privileged or (facts.subuids and facts.subgids)):  # else the missing line is told already
        yield _enough(auto, facts)
    if auto and not id_pools.picks(facts):
        for kind, spans in (("uid", facts.subuids), ("gid", facts.subgids)):
            for owner, span in all_lines(f"{etc}/sub{kind}"):
                if owner not in {facts.user, str(facts.uid)} and any(_overlap(span, mine) for mine in spans):
                    found = f"{owner}'s {span.start}:{span.count} overlaps {user}'s: it can touch workers' files"
                    yield Check(f"/etc/sub{kind}", "warn", found, remedies.ADD_MORE_SUBIDS.replace("{user}", user))
    keep = [worker.name for worker in made if worker.id_map == "keep-id"]
    if auto and keep:
        found = f'{", ".join(keep)}: keep-id maps all subordinate ids, those of workers with id_map = "auto" too'
        yield Check("id_map", "warn", found, 'set id_map = "auto" for them, too, or "self"')
    host = [worker.name for worker in made if worker.id_map == "self" and worker.user in {"self", "root", 0}]
    if facts.privileged and facts.uid == 0 and host:
        found = f"{', '.join(host)}: the host's root outside, without its capabilities, but owner of its files"
        yield Check("id_map", "warn", found, 'set id_map = "auto" in [defaults]')


def _enough(auto: list[Worker], facts: HostFacts) -> Check:
    wanted = sum(worker.id_count or id_pools.default_count(facts) for worker in auto)
    total = sum(pool.count for pool in id_pools.pools(facts))
    found = f"{wanted} of {total} are for {len(auto)} workers"
    if wanted <= total:
        return Check("ids", "ok", found)
    fix = remedies.ADD_MORE_SUBIDS.replace("{user}", facts.user or str(facts.uid))
    return Check("ids", "fail", found, f"set id_count, or: {fix}")


def _overlap(one: IdRange, other: IdRange) -> bool:
    return one.start < other.start + other.count and other.start < one.start + one.count
