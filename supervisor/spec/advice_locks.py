"""Locks that hold less than they seem to."""

from collections.abc import Iterator, Mapping

from supervisor.spec.locate import Path
from supervisor.spec.locks import seals
from supervisor.spec.model import Worker, instance_names
from supervisor.spec.relations import references


def lock_advice(workers: Mapping[str, Worker]) -> Iterator[tuple[str, tuple[Path, object, str]]]:
    """Name workers whose seal is lifted for those that join them, with no seccomp filter to stand in for it."""
    joined = {one.name: worker.name for worker in workers.values() for one in references(worker) if one.joins}
    for worker in workers.values():
        if worker.security.seccomp != "off" or not seals(worker):
            continue
        by = next((joined[name] for name in (worker.name, *instance_names(worker)) if name in joined), None)
        if by is not None:
            message = f"{by} joins it: it may win a user namespace while {by} starts, with no seccomp filter against it"
            yield worker.name, (("security", "seccomp"), "off", message)
