"""Who starts before whom. Names in `after`, `requires` and `worker:` may be of workers or of single instances."""

from graphlib import TopologicalSorter

from supervisor.spec.model import Fleet, Namespaces, Worker, instance_names


def joined(worker: Worker) -> tuple[str, ...]:
    """Names in `worker:NAME`: whose namespaces it joins."""
    spaces: Namespaces = worker.namespaces
    modes = (*(getattr(spaces, name) for name in spaces.__struct_fields__), worker.network.mode)
    names = (mode.removeprefix("worker:") for mode in modes if isinstance(mode, str) and mode.startswith("worker:"))
    return tuple(dict.fromkeys(names))


def dependencies(worker: Worker) -> tuple[str, ...]:
    """Names of what must be there before it starts: required, named in `after`, or joined."""
    return tuple(dict.fromkeys((*worker.requires, *worker.after, *joined(worker))))


def resolve(fleet: Fleet, name: str) -> tuple[str, ...]:
    """Instances meant by the name of a worker or of one instance. Raises ValueError for a name that nobody has."""
    worker = fleet.workers.get(name)
    if worker is not None:
        return tuple(instance_names(worker))
    if any(name in instance_names(worker) for worker in fleet.workers.values()):
        return (name,)
    raise ValueError(f"cannot order the fleet: nobody is named {name!r}")


def instance_dependencies(fleet: Fleet) -> dict[str, tuple[str, ...]]:
    """For each instance, in file order, the instances that come before it."""
    return _by_instance(fleet, {worker.name: dependencies(worker) for worker in fleet.workers.values()})


def instance_requirements(fleet: Fleet) -> dict[str, tuple[str, ...]]:
    """For each instance, in file order, the instances whose fate it shares."""
    return _by_instance(fleet, {worker.name: worker.requires for worker in fleet.workers.values()})


def start_levels(fleet: Fleet) -> tuple[tuple[str, ...], ...]:
    """Instances by level: each may start once all levels before its own are up. Raises graphlib.CycleError."""
    before = instance_dependencies(fleet)
    place = {name: index for index, name in enumerate(before)}
    sorter = TopologicalSorter(before)
    sorter.prepare()
    levels: list[tuple[str, ...]] = []
    while sorter.is_active():
        ready = tuple(sorted(sorter.get_ready(), key=place.__getitem__))
        levels.append(ready)
        sorter.done(*ready)
    return tuple(levels)


def _by_instance(fleet: Fleet, names: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for worker in fleet.workers.values():
        before = tuple(dict.fromkeys(one for name in names[worker.name] for one in resolve(fleet, name)))
        found.update(dict.fromkeys(instance_names(worker), before))
    return found
