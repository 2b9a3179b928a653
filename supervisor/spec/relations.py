"""What workers say of each other: names, references and cycles."""

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

import msgspec

from supervisor.spec import forms
from supervisor.spec.check_ids import check_joined_ids
from supervisor.spec.locate import Path
from supervisor.spec.model import Worker, instance_names
from supervisor.spec.origin import Origin

_PREFIX = "worker:"
_MOST_CYCLES = 100  # told in one load


class Reference(msgspec.Struct, frozen=True):
    """One worker naming another, or one instance of it."""

    path: Path
    name: str
    joins: str | None = None  # the kind of namespace that is joined


def references(worker: Worker) -> Iterator[Reference]:
    """All names that a worker's keys hold."""
    for key in ("after", "requires"):
        for index, name in enumerate(getattr(worker, key)):
            yield Reference((key, index), name)
    for kind in worker.namespaces.__struct_fields__:
        value = getattr(worker.namespaces, kind)
        if isinstance(value, str) and value.startswith(_PREFIX):
            yield Reference(("namespaces", kind), value.removeprefix(_PREFIX), kind)
    if worker.network.mode.startswith(_PREFIX):
        yield Reference(("network", "mode"), worker.network.mode.removeprefix(_PREFIX), "network")


def with_joined(worker: Worker) -> Worker:
    """The worker with all whose namespaces it joins among its `requires`."""
    joined = [reference.name for reference in references(worker) if reference.joins is not None]
    if not joined:
        return worker
    return msgspec.structs.replace(worker, requires=tuple(dict.fromkeys((*worker.requires, *joined))))


def check_relations(workers: Mapping[str, Worker], origins: Mapping[str, Origin]) -> None:
    """Report instance names that collide, dangling names, impossible joins, and cycles."""
    owners: dict[str, str] = {}
    for worker in workers.values():
        for instance in instance_names(worker):
            owner = owners.setdefault(instance, worker.name)
            if owner != worker.name:
                _collision(origins, owner, worker.name, instance)
                break
    edges: dict[str, dict[str, Path]] = {name: {} for name in workers}
    meant: dict[str, str | None] = {}
    for name, worker in workers.items():
        for reference in references(worker):
            target = reference.name if reference.name in workers else owners.get(reference.name)
            if target is None:
                if reference.name not in meant:
                    meant[reference.name] = forms.nearest(reference.name, workers)
                near = meant[reference.name]
                near = None if near in {None, name} else forms.quoted(f"{_PREFIX}{near}" if reference.joins else near)
                origins[name].add(reference.path, "there is no such worker", nearest=near)
            elif target == name:
                origins[name].add(reference.path, f"{name} names itself")
            else:
                edges[name].setdefault(target, reference.path)
                _join(reference, workers[target], origins[name])
                if reference.joins is not None:
                    check_joined_ids(worker, workers[target], reference.path, origins[name])
    _cycles(edges, origins)


def _collision(origins: Mapping[str, Origin], first: str, second: str, instance: str) -> None:
    origin, other = origins[second], origins[first]
    message = f'two instances would be named "{instance}": one of this worker, one of worker.{first}'
    line = other.source.line(("worker", first))
    place = other.source.file if line is None else f"{other.source.file}:{line}"
    if other.ok("instances"):
        origin.add((), f"{message} at {place}", show_value=False, involves=("instances",))


def _join(reference: Reference, target: Worker, origin: Origin) -> None:
    if reference.joins is None:
        return
    if target.instances > 1 and reference.name == target.name:
        message = f"{target.name} has {target.instances} instances, each with namespaces of its own"
        origin.add(reference.path, message, allowed="one instance", nearest=f'"{_PREFIX}{target.name}-0"')
        return
    has_none = (
        target.network.mode == "host"
        if reference.joins == "network"
        else getattr(target.namespaces, reference.joins) is False
    )
    if has_none:
        origin.add(reference.path, f"{target.name} has no {reference.joins} namespace of its own")
    elif target.namespaces.pid is not True and reference.joins != "user":
        # It sees the joiner's set-up in /proc, and its user namespace owns the joiner's: it could enter it.
        origin.add(reference.path, f"{target.name} has no pid namespace of its own, and could look into the sandbox")


def _cycles(edges: Mapping[str, Mapping[str, Path]], origins: Mapping[str, Origin]) -> None:
    """Report each cycle once, at the key of its first worker in file order."""
    order = {name: place for place, name in enumerate(edges)}
    left = {name: set(targets) for name, targets in edges.items()}
    for _ in range(_MOST_CYCLES):
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1][-2::-1]  # each needs the next; graphlib gives the reverse, closed
            start = min(range(len(cycle)), key=lambda place: order[cycle[place]])
            cycle = [*cycle[start:], *cycle[:start]]
            path = edges[cycle[0]][cycle[1]]
            chain = " → ".join([*cycle, cycle[0]])
            origins[cycle[0]].add(path, f"a cycle: {chain}", show_value=False)
            left[cycle[0]].discard(cycle[1])
        else:
            return
