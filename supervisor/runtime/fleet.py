"""The fleet: all instances of one daemon, started in order, stopped in reverse, reloaded as a whole."""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal

import trio

from supervisor.policy.diff import FleetDiff
from supervisor.policy.restart import TERMINAL, IllegalMove, Kill, Restart, Start, State
from supervisor.runtime.adoption import adopt, follow_new_specs
from supervisor.runtime.instance import Instance
from supervisor.runtime.keeper_greeting import HeldWorker
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.lowering import lower
from supervisor.runtime.reexec_check import CannotReexecError
from supervisor.runtime.reload import Reload, Surroundings
from supervisor.runtime.roster import Roster
from supervisor.runtime.services import Services
from supervisor.runtime.state import InstanceState
from supervisor.runtime.stop_all import StopAll
from supervisor.runtime.turns import Portions
from supervisor.sandbox.plan import Plan, compile_plan
from supervisor.spec.model import Fleet

SHUTDOWN = "shutdown"  # who stopped an instance that the next daemon is to start again
Condition = Literal["ready", "healthy", "stopped", "exited"]


class FleetRuntime(Roster):
    """What the control server and the daemon drive."""

    def __init__(
        self,
        spec: Fleet,
        services: Services,
        surroundings: Surroundings,
    ) -> None:
        """Surroundings: what reloads need of the daemon."""
        super().__init__(spec, services)
        self.started_at = time.time()
        self.shutdown_requested = trio.Event()
        self._reload = Reload(self, surroundings)
        self._notifier = surroundings.notifier
        self._stop_all = StopAll(self, SHUTDOWN)
        self._begun = trio.Event()
        self.become: Callable[[Callable[[], int] | None], Awaitable[None]] | None = (
            None  # the daemon's part of reexec()
        )

    # -- life -------------------------------------------------------------------------------------------------------

    def remember(self, states: dict[str, InstanceState]) -> None:
        """Before anybody may look: clients and metrics see no count of an earlier daemon's go back."""
        for name, state in states.items():
            if name in self.instances:
                self.instances[name].status = state.status

    async def begin(self, held: list[HeldWorker], states: dict[str, InstanceState], keeper: KeeperLink) -> None:
        """Adopt what an earlier daemon left, then start the rest in order."""
        taken = await adopt(held, states, keeper, self.instances, self.services)
        self._tell_lost_output(states)
        follow_new_specs({name: state for name, state in states.items() if name in taken}, self.instances)
        self.tell_missing_controllers()
        portions = Portions()
        for name in self.order.first_to_last(self.instances):
            await portions.rest()
            instance = self.instances[name]
            instance.save()
            self.services.nursery.start_soon(instance.run_timer)
            instance.standby.follow()
            fresh = instance.name not in taken or instance.status.stopped_by == SHUTDOWN
            if fresh and instance.worker.autostart:
                instance.handle(Start("daemon"))
        self.tell_all()
        self._begun.set()

    def _tell_lost_output(self, states: dict[str, InstanceState]) -> None:
        """Before any is read: what the daemon before had read, and had not written when it was killed."""
        for name, instance in self.instances.items():
            instance.output.tell_left((states[name].status if name in states else instance.status).incarnation)
        unwritten = self.services.unwritten
        for name in unwritten.others(self.instances):
            unwritten.of(name).tell_left(self.bus, instance=name)
            unwritten.forget(name)

    async def shut_down(self) -> list[str]:
        """Stop everything, dependents first: names of those that would not die."""
        self.stopping = True
        self.wake()
        async with self._reload.under_way:  # one under way ends first, and starts nothing more
            await self._stop_all.run(self._notifier)
        for instance in self.instances.values():
            await instance.standby.gone()
        for instance in self.instances.values():
            instance.output.close()
        return [name for name, one in self.instances.items() if one.status.state is State.UNKILLABLE]

    def hasten(self) -> None:
        """Kill what is left, now that the daemon stops everything."""
        self._stop_all.hasten()

    def request_shutdown(self) -> None:
        """Have the daemon stop everything and leave."""
        self.shutdown_requested.set()

    # -- what operators ask for -------------------------------------------------------------------------------------

    async def start(self, names: Sequence[str], by: str = "operator") -> None:
        """Want them up, and what they require. IllegalMove while the daemon stops."""
        await self._begun.wait()
        self._refuse_if_stopping(names, Start(by))

        def begin(instance: Instance) -> None:
            self._refuse_if_stopping([instance.name], Start(by))
            if instance.leaving:
                instance.leaving = False
                self.changed(instance)  # those that fell with it learn that it stays
            instance.handle(Start(by))

        await self._for_each(self.order.with_requirements(one.name for one in self.select(names)), begin)
        for _ in range(2):  # rounds of the event loop: who asked hears after the launches have been asked for
            await trio.lowlevel.checkpoint()

    async def _for_each(self, names: Iterable[str], do: Callable[[Instance], None]) -> None:
        """Others have their turn in between; who was removed meanwhile is left out."""
        portions = Portions()
        for name in names:
            await portions.rest()
            if name in self.instances:
                do(self.instances[name])

    def _refuse_if_stopping(self, names: Sequence[str], event: Start | Restart) -> None:
        chosen = self.select(names)
        if self.stopping and chosen:
            raise IllegalMove(chosen[0].status, event, "the daemon is stopping")

    async def stop(self, names: Sequence[str], by: str = "operator") -> None:
        """Want them down, until somebody wants them up; what requires one of them, or comes after, goes first."""
        await self._begun.wait()
        lower(self, self.select(names), by)
        await trio.lowlevel.checkpoint()

    async def restart(self, names: Sequence[str], by: str = "operator") -> None:
        """Want new incarnations. IllegalMove while the daemon stops."""
        await self._begun.wait()
        self._refuse_if_stopping(names, Restart(by))

        def begin_anew(instance: Instance) -> None:
            self._refuse_if_stopping([instance.name], Restart(by))
            instance.leaving = False
            instance.handle(Restart(by))

        await self._for_each(self.order.first_to_last(one.name for one in self.select(names)), begin_anew)
        await trio.lowlevel.checkpoint()

    async def kill(self, names: Sequence[str], signal: str, by: str = "operator") -> None:
        """Send a signal. IllegalMove where there is nothing to send it to."""
        await self._begun.wait()
        await self._for_each([one.name for one in self.select(names)], lambda one: one.handle(Kill(by, signal)))
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
            await self.until(
                lambda: all(map(met[condition], chosen)) or any(one.status.state in hopeless for one in chosen)
            )
            return all(map(met[condition], chosen))
        return False

    def plan(self, name: str) -> Plan:
        """Compile the plan of an instance's next launch. UnknownName, PlanError."""
        (instance, *_) = self.select([name])
        worker = instance.next_worker or instance.worker
        return compile_plan(worker, instance.index, self.services.facts, standby=worker.restart.standby)

    async def reexec(self, client: Callable[[], int]) -> None:
        """Have the daemon become the program that is installed now. CannotReexecError, ConfigError: it did not."""
        if self.become is None:
            raise CannotReexecError("the daemon is still starting")
        await self.become(client)

    async def until_begun(self) -> None:
        """Wait until what an earlier daemon left is adopted."""
        await self._begun.wait()

    @property
    def reloading(self) -> trio.Lock:
        """Held while a new configuration is applied."""
        return self._reload.under_way

    async def reload(self, dry_run: bool = False) -> FleetDiff:
        """Read the configuration again; touch only the instances that it changes. ConfigError: none; CannotReload."""
        await self._begun.wait()
        return await self._reload.run(dry_run=dry_run)

    # -- what others of the daemon ask for --------------------------------------------------------------------------

    async def report_status(self) -> None:
        """Keep the service manager's status line up to date, at most once a second."""
        while True:
            up = sum(one.is_up for one in self.instances.values())
            self._notifier.status(f"{up} of {len(self.instances)} up")
            await self.next_change(1.0)

    def pids(self, name: str) -> tuple[int, int]:
        """Pid and pidfd of the first process of a worker's sandbox, for those that join it. ProcessLookupError."""
        (instance, *_) = self.select([name])
        current = instance.incarnation
        if current is None or current.child is None or current.exec_at is None:  # until then it is partly in ours
            raise ProcessLookupError(3, f"{name} is not running")
        return current.child.pid, current.child.pidfd
