"""Who waits for whom, asked at run time: each change of an instance is told to those that depend on it."""

from collections.abc import Container, Mapping

from supervisor.policy.order import instance_dependencies, instance_requirements
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
        self._dependents: dict[str, list[str]] = {}
        for name, before in self._before.items():
            for other in before:
                self._dependents.setdefault(other, []).append(name)

    def with_requirements(self, names: list[str]) -> list[str]:
        """Return the names and all that they require, directly or not, those first."""
        found: list[str] = []

        def add(name: str) -> None:
            for other in self._required.get(name, ()):
                if other not in found:
                    add(other)
            if name not in found:
                found.append(name)

        for name in names:
            add(name)
        return found

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
            elif other.status.state in COMING:
                return False
        return True
