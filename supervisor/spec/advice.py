"""What loads but will hardly work on this machine, as it is now: for `nsvisor check`."""

import os
from collections.abc import Iterator

from supervisor.spec.advice_locks import lock_advice, root_advice
from supervisor.spec.advice_rootfs import rootfs_advice, shared_roots
from supervisor.spec.errors import Problem
from supervisor.spec.instances import for_instance
from supervisor.spec.locate import Path
from supervisor.spec.model import Fleet, Worker
from supervisor.spec.places import place, sources_of
from supervisor.spec.show import LONGEST_PATH, show


def warnings(fleet: Fleet) -> tuple[Problem, ...]:
    """Look on the disk for what the fleet names. Nothing here is an error: a bind's source may come later."""
    sources = sources_of(fleet)
    found: dict[Problem, None] = {}
    if not fleet.workers:
        file = fleet.files[0] if fleet.files else "nsvisor"
        found[Problem(file, None, "", "no workers: add a table [worker.NAME] with a command")] = None
    advice = [(worker.name, one) for worker in fleet.workers.values() for one in _of_worker(worker)]
    for name, (path, value, message) in (*advice, *lock_advice(fleet.workers), *shared_roots(fleet.workers)):
        file, line, key = place(sources, fleet, name, path)
        found[Problem(file, line, key, message, show(value, longest=LONGEST_PATH))] = None
    return tuple(found)


def _of_worker(worker: Worker) -> Iterator[tuple[Path, object, str]]:
    restart = worker.restart
    yield from rootfs_advice(worker)
    yield from root_advice(worker)
    for number in range(worker.instances):
        one = for_instance(worker, number)
        yield from _missing_sources(one)
        if one is worker:
            break  # the others are the same
    for kind in worker.namespaces.__struct_fields__:
        yield from _joined(("namespaces", kind), getattr(worker.namespaces, kind))
    yield from _joined(("network", "mode"), worker.network.mode)
    if restart.delay_s == 0 and restart.max_restarts is None and restart.policy != "never":
        yield ("restart", "delay"), restart.delay_s, "a worker that fails at once is restarted without pause and end"


def _missing_sources(worker: Worker) -> Iterator[tuple[Path, object, str]]:
    for index, mount in enumerate(worker.mounts):
        wanted = mount.type == "bind" and not mount.optional
        if wanted and mount.source is not None and not os.path.exists(mount.source):
            yield ("mounts", index, "source"), mount.source, "does not exist"
    for index, secret in enumerate(worker.secrets):
        if secret.source is not None and not secret.optional and not os.path.exists(secret.source):
            yield ("secrets", index, "source"), secret.source, "does not exist"


def _joined(key: Path, value: object) -> Iterator[tuple[Path, object, str]]:
    if not isinstance(value, str):
        return
    kind, _, name = value.partition(":")
    if kind == "path" and not os.path.exists(name):
        yield key, value, "does not exist"
    if kind == "pid" and not os.path.exists(f"/proc/{name}"):
        yield key, value, "no such process"
