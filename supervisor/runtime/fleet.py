"""The fleet: all instances of one daemon, started in order, stopped in reverse, reloaded as a whole."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import trio

from supervisor.policy.diff import FleetDiff, diff
from supervisor.policy.order import stop_levels
from supervisor.policy.restart import LIVE, TERMINAL, IllegalMove, Kill, Restart, Start, State, Stop
from supervisor.runtime.adoption import adopt, follow_new_specs
from supervisor.runtime.instance import Instance
from supervisor.runtime.keeper_link import HeldWorker, KeeperLink
from supervisor.runtime.order import Order
from supervisor.runtime.sd_notify import Notifier
from supervisor.runtime.services import Services
from supervisor.runtime.state import InstanceState
from supervisor.sandbox.plan import Plan, compile_plan
from supervisor.sandbox.steps.cgroup import missing_controllers
from supervisor.spec.errors import ConfigError
from supervisor.spec.model import Fleet, instance_names
from supervisor.spec.names import UnknownName, nearest
from supervisor.telemetry.bus import EventBus
from supervisor.telemetry.metrics import InstanceSample

SHUTDOWN = "shutdown"  # who stopped an instance that the next daemon is to start again
AT_REST = (*TERMINAL, State.UNKILLABLE)
Condition = Literal["ready", "healthy", "stopped", "exited"]


def _holds_up(instance: Instance) -> bool:
    """Whether what lies below it has to wait for its end, which is under way."""
    state = instance.status.state
    return state is State.STOPPING or (instance.leaving and state in LIVE and state is not State.UNKILLABLE)


class FleetRuntime:
    """What the control server and the daemon drive."""

    def __init__(
        self,
        spec: Fleet,
        services: Services,
        read_config: Callable[[], Fleet],
        follow: Callable[[Fleet], None],
        notifier: Notifier,
    ) -> None:
        """read_config: read and check the configuration again; ConfigError. follow: the daemon's own part of it."""
        self.spec = spec
        self.services = services
        self.started_at = time.time()
        self.instances: dict[str, Instance] = {}
        self.shutdown_requested = trio.Event()
        self._read_config = read_config
        self._follow = follow
        self._notifier = notifier
        self._order = Order(spec)
        self._moved = trio.Event()  # replaced at every change
        self._to_tell: deque[Instance] = deque()  # whose changes their dependents have still to hear of
        self._begun = trio.Event()
        self._reloading = trio.Lock()
        self._stopping = False
        self._add_missing(spec)

    @property
    def bus(self) -> EventBus:
        """Its events."""
        return self.services.bus

    # -- life -------------------------------------------------------------------------------------------------------

    async def begin(self, held: list[HeldWorker], states: dict[str, InstanceState], keeper: KeeperLink) -> None:
        """Adopt what an earlier daemon left, then start the rest in order."""
        taken = await adopt(held, states, keeper, self.instances, self.services)
        follow_new_specs({name: state for name, state in states.items() if name in taken}, self.instances)
        self._tell_missing_controllers()
        for name in self._order.first_to_last(self.instances):
            instance = self.instances[name]
            instance.save()
            self.services.nursery.start_soon(instance.run_timer)
            fresh = instance.name not in taken or instance.status.stopped_by == SHUTDOWN
            if fresh and instance.worker.autostart:
                instance.handle(Start("daemon"))
        for instance in self.instances.values():
            self._order.changed(instance, self.instances)
        self._begun.set()

    def _tell_missing_controllers(self) -> None:
        missing = missing_controllers(self.spec, self.services.facts.cgroups)
        if missing is not None:
            self.bus.publish("cgroup.unavailable", "warning", **missing)

    async def shut_down(self) -> list[str]:
        """Stop everything, dependents first: names of those that would not die."""
        self._stopping = True
        self._wake()
        async with self._reloading:  # one under way ends first, and starts nothing more
            for level in stop_levels(self.spec):
                for name in level:
                    self.instances[name].handle(Stop(SHUTDOWN))
                await self._until(partial(self._are_at_rest, level))
        for instance in self.instances.values():
            instance.output.close()
        return [name for name, one in self.instances.items() if one.status.state is State.UNKILLABLE]

    def _are_at_rest(self, names: Sequence[str]) -> bool:
        return all(self.instances[name].status.state in AT_REST for name in names)

    def request_shutdown(self) -> None:
        """Have the daemon stop everything and leave."""
        self.shutdown_requested.set()

    # -- what operators ask for -------------------------------------------------------------------------------------

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

    async def start(self, names: Sequence[str], by: str = "operator") -> None:
        """Want them up, and what they require. IllegalMove while the daemon stops."""
        await self._begun.wait()
        self._refuse_if_stopping(names, Start(by))
        for name in self._order.with_requirements(one.name for one in self.select(names)):
            instance = self.instances[name]
            if instance.leaving:
                instance.leaving = False
                self._changed(instance)  # those that fell with it learn that it stays
            instance.handle(Start(by))
        await trio.lowlevel.checkpoint()

    def _refuse_if_stopping(self, names: Sequence[str], event: Start | Restart) -> None:
        chosen = self.select(names)
        if self._stopping and chosen:
            raise IllegalMove(chosen[0].status, event, "the daemon is stopping")

    async def stop(self, names: Sequence[str], by: str = "operator") -> None:
        """Want them down, until somebody wants them up; what requires one of them, or comes after, goes first."""
        await self._begun.wait()
        self._lower(self.select(names), by)
        await trio.lowlevel.checkpoint()

    def _lower(self, chosen: Sequence[Instance], by: str) -> None:
        names = {one.name for one in chosen}
        for instance in chosen:
            instance.leaving = True
        for instance in chosen:
            self._order.changed(instance, self.instances)  # those that require it learn that it goes
        for instance in chosen:
            above = [self.instances[name] for name in self._order.above(instance.name, names)]
            if any(map(_holds_up, above)):
                self.services.nursery.start_soon(self._stop_below, instance, above, by)
            else:
                instance.leaving = False
                instance.handle(Stop(by))

    async def _stop_below(self, instance: Instance, above: Sequence[Instance], by: str) -> None:
        await self._until(lambda: not instance.leaving or not any(map(_holds_up, above)))
        if instance.leaving:  # else somebody wanted it up meanwhile
            instance.leaving = False
            instance.handle(Stop(by))

    async def restart(self, names: Sequence[str], by: str = "operator") -> None:
        """Want new incarnations. IllegalMove while the daemon stops."""
        await self._begun.wait()
        self._refuse_if_stopping(names, Restart(by))
        for name in self._order.first_to_last(one.name for one in self.select(names)):
            self.instances[name].leaving = False
            self.instances[name].handle(Restart(by))
        await trio.lowlevel.checkpoint()

    async def kill(self, names: Sequence[str], signal: str, by: str = "operator") -> None:
        """Send a signal. IllegalMove where there is nothing to send it to."""
        await self._begun.wait()
        for instance in self.select(names):
            instance.handle(Kill(by, signal))
        await trio.lowlevel.checkpoint()

    async def pause(self, names: Sequence[str]) -> None:
        """Freeze their processes. CannotPause: those before it in the list are paused then."""
        await self._begun.wait()
        for instance in self.select(names):
            await instance.pause()

    async def unpause(self, names: Sequence[str]) -> None:
        """Let their processes go on. CannotPause: those before it in the list go on then."""
        await self._begun.wait()
        for instance in self.select(names):
            instance.unpause()

    async def wait(self, names: Sequence[str], condition: Condition, timeout_s: float | None) -> bool:
        """Wait until all are ready, stopped for good, or not running; false when it cannot come or time is over."""
        await self._begun.wait()
        chosen = self.select(names)
        met: dict[str, Callable[[Instance], bool]] = {
            "ready": lambda one: one.is_up,
            "healthy": lambda one: one.is_healthy,
            "stopped": lambda one: one.status.state in TERMINAL,
            "exited": lambda one: not one.may_have_child,
        }
        with trio.move_on_after(float("inf") if timeout_s is None else timeout_s):
            hopeless = {
                "ready": (State.FAILED, State.STOPPED),  # only a request leaves these
                "healthy": (State.FAILED, State.STOPPED),
                "stopped": (State.UNKILLABLE,),  # a process of it lives
            }.get(condition, ())
            await self._until(
                lambda: all(map(met[condition], chosen)) or any(one.status.state in hopeless for one in chosen)
            )
            return all(map(met[condition], chosen))
        return False

    def plan(self, name: str) -> Plan:
        """Compile the plan of an instance's next launch. UnknownName, PlanError."""
        (instance, *_) = self.select([name])
        worker = instance.next_worker or instance.worker
        return compile_plan(worker, instance.index, self.services.facts)

    # -- reload -----------------------------------------------------------------------------------------------------

    async def reload(self, dry_run: bool = False) -> FleetDiff:
        """Read the configuration again and touch only the instances that it changes. ConfigError: nothing was."""
        await self._begun.wait()
        async with self._reloading:
            try:
                new = self._read_config()
            except ConfigError as error:
                self.bus.publish("daemon.reload_failed", "error", problems=[str(one) for one in error.problems])
                raise
            found = diff(self.spec, new)
            if dry_run or self._stopping:
                return found
            self._notifier.reloading()
            await self._apply(new, found)
            self._notifier.ready()
            self.bus.publish(
                "daemon.reloaded",
                added=len(found.added),
                removed=len(found.removed),
                changed=len(found.changed),
                unchanged=len(found.unchanged),
            )
            return found

    async def _apply(self, new: Fleet, found: FleetDiff) -> None:
        leaving = [self.instances[name] for name in found.removed]
        self._lower(leaving, "reload")
        await self._until(lambda: self._stopping or self._are_down(leaving))
        if self._stopping:
            return
        for instance in leaving:
            if instance.status.state is State.UNKILLABLE:
                continue  # it keeps its name until it is gone: a second copy must not come
            self._remove(instance)
        self.spec = new
        self._follow(new)
        self._tell_missing_controllers()
        self._order = Order(new)
        self.services.slots.total_tokens = new.supervisor.start_concurrency
        for instance in self._add_missing(new):
            self.services.nursery.start_soon(instance.run_timer)
        anew = {*found.added, *(change.instance for change in found.changed if change.relaunch)}
        workers = {name: worker for worker in new.workers.values() for name in instance_names(worker)}
        for name, worker in workers.items():
            instance = self.instances[name]
            if name in anew and instance.may_have_child:
                instance.next_worker = worker
                if instance.status.wanted and not instance.leaving:
                    instance.handle(Restart("reload"))
            else:
                instance.respec(worker)
                instance.save()
                if name in anew and instance.status.wanted and instance.status.state in (State.BACKOFF, State.FAILED):
                    instance.handle(Start("reload"))  # what failed was the old one: nothing is to be waited for
        for name in self._order.first_to_last(found.added):
            if self.instances[name].worker.autostart:
                self.instances[name].handle(Start("reload"))
        for instance in list(self.instances.values()):
            self._order.changed(instance, self.instances)

    def _are_down(self, leaving: Sequence[Instance]) -> bool:
        """Whether all are at rest; what somebody started meanwhile is stopped again."""
        self._lower([one for one in leaving if one.status.wanted and not one.leaving], "reload")
        return all(one.status.state in AT_REST for one in leaving)

    def _remove(self, instance: Instance) -> None:
        instance.forget()
        del self.instances[instance.name]
        self.bus.publish("worker.removed", worker=instance.worker.name, instance=instance.name)

    def _add_missing(self, spec: Fleet) -> list[Instance]:
        """Make an instance for each that has none; keep file order."""
        added = []
        ordered: dict[str, Instance] = {}
        for worker in spec.workers.values():
            for index, name in enumerate(instance_names(worker)):
                instance = self.instances.get(name)
                if instance is None:
                    instance = Instance(name, index, worker, self.services, self._changed)
                    added.append(instance)
                instance.index = index  # the name may have been another worker's
                ordered[name] = instance
        self.instances = ordered | self.instances
        return added

    # -- changes ----------------------------------------------------------------------------------------------------

    def _changed(self, instance: Instance) -> None:
        self._wake()
        self._to_tell.append(instance)
        if len(self._to_tell) > 1:  # one of those that are being told: its dependents' turn comes
            return
        try:
            while self._to_tell and not self._stopping:
                self._order.changed(self._to_tell[0], self.instances)
                self._to_tell.popleft()
        finally:
            self._to_tell.clear()

    def _wake(self) -> None:
        """Let everything that waits look again."""
        self._moved.set()
        self._moved = trio.Event()

    def samples(self) -> list[InstanceSample]:
        """What a scrape shows of each instance."""
        return [
            InstanceSample(
                worker=one.worker.name,
                instance=one.name,
                state=one.status.state,
                restarts=one.status.restarts,
                log_bytes=one.output.read_bytes,
                lost_bytes=one.output.lost_bytes,
                lost_lines=one.output.lost_lines,
                uptime_s=one.uptime_s,
                cgroup=one.cgroup_path,
                pid=one.pid,
                healthy=one.health.state == "healthy" if one.health and one.health.state != "starting" else None,
            )
            for one in self.instances.values()
        ]

    async def report_status(self) -> None:
        """Keep the service manager's status line up to date, at most once a second."""
        while True:
            up = sum(one.is_up for one in self.instances.values())
            self._notifier.status(f"{up} of {len(self.instances)} up")
            moved = self._moved
            await trio.sleep(1.0)
            await moved.wait()

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._moved.wait()

    def pids(self, name: str) -> tuple[int, int]:
        """Pid and pidfd of the first process of a worker's sandbox, for those that join it. ProcessLookupError."""
        (instance, *_) = self.select([name])
        current = instance.incarnation
        if current is None or current.child is None or current.exec_at is None:  # until then it is partly in ours
            raise ProcessLookupError(3, f"{name} is not running")
        return current.child.pid, current.child.pidfd
