"""Who waits for whom, asked at run time: each change of an instance is told to those that depend on it."""

from collections.abc import Container, Iterable, Mapping
from itertools import chain

from supervisor.policy.order import instance_dependencies, instance_requirements, start_levels
from supervisor.policy.restart import Requirements, State
from supervisor.runtime.instance import Instance
from supervisor.spec.model import Fleet

# Not up and not given up either: who only comes after it still waits.
COMING = (State.WAITING, State.CREATING, State.RUNNING)


class Order:
    """Made anew for each configuration."""

    def __init__(self, spec: Fleet) -> None:
        self._before = instance_dependencies(spec)
        self._required = instance_requirements(spec)
        self._place = {name: place for place, name in enumerate(chain.from_iterable(start_levels(spec)))}
        self._dependents: dict[str, list[str]] = {}
        for name, before in self._before.items():
            for other in before:
                self._dependents.setdefault(other, []).append(name)

    def first_to_last(self, names: Iterable[str]) -> list[str]:
        """Sort by what comes before what, so that who comes later finds the earlier ones on their way."""
        return sorted(names, key=lambda name: self._place.get(name, len(self._place)))

    def with_requirements(self, names: Iterable[str]) -> list[str]:
        """Return the names and all that they require, directly or not, first to last."""
        found: set[str] = set()
        following = list(names)
        while following:
            name = following.pop()
            if name not in found:
                found.add(name)
                following += self._required.get(name, ())
        return self.first_to_last(found)

    def above(self, name: str, chosen: Container[str]) -> list[str]:
        """Name those that are to be down before it: they require it, or come after it and are chosen too."""
        return [one for one in self._dependents.get(name, ()) if name in self._required[one] or one in chosen]

    def changed(self, instance: Instance, instances: Mapping[str, Instance]) -> None:
        """Tell dependents what follows for them; let the instance itself go where it has nothing to wait for."""
        if instance.status.state is State.WAITING and self._met(instance, instances):
            instance.handle(Requirements(met=True, why=""))
        for name in self._dependents.get(instance.name, ()):
            other = instances.get(name)
            if other is None:
                continue
            if other.status.state is State.WAITING:
                if self._met(other, instances):
                    other.handle(Requirements(met=True, why=""))
            elif instance.name in self._required[name] and not instance.is_up and other.may_lose_requirements:
                other.handle(Requirements(met=False, why=f"requires:{instance.name}"))

    def _met(self, instance: Instance, instances: Mapping[str, Instance]) -> bool:
        required = self._required.get(instance.name, ())
        for name in self._before.get(instance.name, ()):
            other = instances.get(name)
            if other is None:
                continue
            if name in required:
                if not other.is_up:
                    return False
            elif other.status.state in COMING or other.status.again:
                return False
        return True
