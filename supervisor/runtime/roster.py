"""The instances of one daemon: by name, in order, and telling each other and all who wait of their changes."""

import time
from collections import deque
from collections.abc import Callable, Sequence

import trio

from supervisor.runtime.instance import Instance
from supervisor.runtime.order import Order
from supervisor.runtime.services import Services
from supervisor.sandbox.steps.cgroup import missing_controllers
from supervisor.spec.model import Fleet, instance_names
from supervisor.spec.names import UnknownName, nearest
from supervisor.telemetry.bus import EventBus

LONG_LOOK_S = 0.000_1  # at the instances of a small fleet takes less
LOOK_SHARE = 20  # who waits for a thousand instances looks at them for a twentieth of the time


class Roster:
    """One for each instance that the configuration names, and for those that will not die."""

    def __init__(self, spec: Fleet, services: Services) -> None:
        """With an instance for each."""
        self.spec = spec
        self.services = services
        self.instances: dict[str, Instance] = {}
        self.order = Order(spec)
        self.stopping = False  # the daemon: nothing is started any more
        self._moved = trio.Event()  # replaced at every change
        self._to_tell: deque[Instance] = deque()  # whose changes their dependents have still to hear of
        self.add_missing(spec)

    @property
    def bus(self) -> EventBus:
        """Its events."""
        return self.services.bus

    def select(self, names: Sequence[str]) -> list[Instance]:
        """Instances of these workers or of these names, each once; all when there are none. UnknownName."""
        if not names:
            return list(self.instances.values())
        found: dict[str, Instance] = {}
        for name in names:
            worker = self.spec.workers.get(name)
            meant = instance_names(worker) if worker is not None else [name]
            for one in meant:
                if one not in self.instances:
                    raise UnknownName(name, nearest(name, [*self.spec.workers, *self.instances]))
                found[one] = self.instances[one]
        return list(found.values())

    def add_missing(self, spec: Fleet) -> list[Instance]:
        """Make an instance for each that has none; keep file order."""
        added = []
        ordered: dict[str, Instance] = {}
        for worker in spec.workers.values():
            for index, name in enumerate(instance_names(worker)):
                instance = self.instances.get(name)
                if instance is None:
                    instance = Instance(name, index, worker, self.services, self.changed)
                    added.append(instance)
                instance.index = index  # the name may have been another worker's
                ordered[name] = instance
        self.instances = ordered | self.instances
        return added

    def remove(self, instance: Instance) -> None:
        """Let go of one that is down."""
        instance.forget()
        del self.instances[instance.name]
        self.bus.publish("worker.removed", worker=instance.worker.name, instance=instance.name)

    def changed(self, instance: Instance) -> None:
        """Tell its dependents, and theirs, and everything that waits."""
        self.wake()
        self._to_tell.append(instance)
        if len(self._to_tell) > 1:  # one of those that are being told: its dependents' turn comes
            return
        try:
            while self._to_tell and not self.stopping:
                self.order.changed(self._to_tell[0], self.instances)
                self._to_tell.popleft()
        finally:
            self._to_tell.clear()

    def wake(self) -> None:
        """Let everything that waits look again."""
        self._moved.set()
        self._moved = trio.Event()

    def tell_all(self) -> None:
        """Have each instance's dependents look at it."""
        for instance in list(self.instances.values()):
            self.order.changed(instance, self.instances)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for it, looking after every change; after several at once where looking takes long."""
        while True:
            before = time.monotonic()
            if condition():
                return
            took_s = time.monotonic() - before
            moved = self._moved
            if took_s > LONG_LOOK_S:
                await trio.sleep(took_s * LOOK_SHARE)
            await moved.wait()

    async def next_change(self, at_least_s: float) -> None:
        """Wait for a change after now, and not less than this."""
        moved = self._moved
        await trio.sleep(at_least_s)
        await moved.wait()

    def tell_missing_controllers(self) -> None:
        """Publish which limits this host cannot keep."""
        missing = missing_controllers(self.spec, self.services.facts.cgroups)
        if missing is not None:
            self.bus.publish("cgroup.unavailable", "warning", **missing)
