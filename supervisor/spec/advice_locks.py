"""Locks that hold less than they seem to."""

import os
from collections.abc import Iterator, Mapping

from supervisor.spec.capability_sets import capability_sets
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


def root_advice(worker: Worker) -> Iterator[tuple[Path, object, str]]:
    """Warn of a root's worker that is root on the host as well, and may undo what keeps it from being that."""
    is_root = os.geteuid() == 0 and worker.namespaces.user is True
    has_ids_of_its_own = worker.id_map != "self" or bool(worker.uid_map) or worker.user not in ("self", "root", 0)
    capabilities = worker.security.capabilities
    if is_root and not has_ids_of_its_own and "CAP_SYS_ADMIN" in capability_sets(worker.security).bounding:
        message = (
            'with the id of the host\'s root it can undo every read-only mount, and change the host: id_map = "auto"'
        )
        yield ("security", "capabilities"), list(capabilities), message
