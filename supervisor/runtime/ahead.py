"""One incarnation that is built ahead of its time, until its time has come or it is dropped."""

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from supervisor.runtime.host_sources import Sources
from supervisor.runtime.incarnation import Incarnation
from supervisor.runtime.setup_record import SetupRecord
from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.plan import compile_plan

if TYPE_CHECKING:
    from supervisor.runtime.instance import Instance

LOOKED_S = 0.02  # so long what was found out about the host holds
LOOK_S = 10.0  # for what it is made of on the host to be looked at


class Ahead:
    """It bears the number after that of the incarnation that runs."""

    def __init__(self, instance: "Instance", ended: Callable[["Ahead"], None]) -> None:
        """ended: called once, when it is no standby any more."""
        self.number = instance.status.incarnation + 1
        self.has_gone = False  # on, as an incarnation like any other
        self.failed = False
        self.incarnation = Incarnation(instance, self.number, self)
        self._instance = instance
        self._ended = ended
        self._built_from = (instance.worker, instance.services.facts)
        self._sources = Sources(instance.worker, instance.index, instance.services)
        self._go: Callable[[], None] | None = None
        self._held = trio.Event()
        self._held_at = 0.0
        self._dropped = False
        self._looked_at = -math.inf
        self._why: str | None = None
        self._told = trio.Event()

    @property
    def is_held(self) -> bool:
        """Whether it is built, waits, and lives."""
        child = self.incarnation.child
        return (
            self._go is not None
            and not self._dropped
            and not self.failed
            and child is not None
            and not child.has_ended()
        )

    async def live(self) -> None:
        """Build, hold, go on or end."""
        with trio.move_on_after(LOOK_S) as looking:
            await self._sources.look()
        if looking.cancelled_caught and not self._dropped:
            self._fail({"error": f"what it is built from on the host cannot be looked at within {LOOK_S:g} s"})
        if not self._dropped and not self.failed:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._follow_keeper)
                await self.incarnation.live()
                nursery.cancel_scope.cancel()
        if not self.has_gone:
            self._ended(self)

    async def _follow_keeper(self) -> None:
        """A sandbox that outlives its keeper is nobody's child then: the next keeper builds the next one."""
        await self._held.wait()
        child = self.incarnation.child
        if child is not None:
            await child.keeper.gone.wait()
            if not self.has_gone:
                self.drop("the keeper is gone", "info")

    # -- what its incarnation tells ---------------------------------------------------------------------------------

    def hold(self, go: Callable[[], None], record: SetupRecord) -> None:
        """It is built, and waits. go: lets it execute its command."""
        self._go, self._held_at = go, time.monotonic()
        self._held.set()
        duration_us = (time.monotonic_ns() - record.requested_ns) // 1000
        self._publish("standby.ready", "info", duration_us=duration_us)
        self._instance.tell()

    async def begun(self) -> bool:
        """Whether it went on, once that was told; else it is over."""
        if self.has_gone:
            await self._told.wait()
        return self.has_gone

    def unused(self, record: SetupRecord) -> None:
        """It came to its end before its time."""
        if self._dropped:
            return
        failure = record.failure
        keys = ("phase", "errno", "syscall", "message", "hint")
        self._fail({key: value for key in keys if failure is not None and (value := getattr(failure, key))})

    def _fail(self, fields: dict[str, str]) -> None:
        self.failed = True
        self._publish("standby.failed", "warning", **fields)

    # -- what is decided about it -----------------------------------------------------------------------------------

    def is_as_planned(self) -> bool:
        """Whether the same plan would be made now. Takes no time where nothing was read anew."""
        instance = self._instance
        worker, facts = self._built_from
        if instance.worker is worker and instance.services.facts is facts:
            return True
        try:
            before = compile_plan(worker, instance.index, facts)
            now = compile_plan(instance.worker, instance.index, instance.services.facts)
        except PlanError:
            return False
        if before != now:
            return False
        self._built_from = (instance.worker, instance.services.facts)
        return True

    def look(self) -> None:
        """Find out now whether it is stale: its turn is about to come, and there is time until then."""
        self._looked_at, self._why = time.monotonic(), self._find_stale()

    def stale(self) -> str | None:
        """Why it is not what a launch would build now; None where it is."""
        if time.monotonic() - self._looked_at > LOOKED_S:
            self.look()
        return self._why

    def _find_stale(self) -> str | None:
        if self._instance.next_worker is not None or not self.is_as_planned():
            return "the configuration has changed"
        return self._sources.changed()

    def drop(self, why: str, level: str) -> None:
        """End it."""
        if self._dropped or self.has_gone:
            return
        self._dropped = True
        held = {"held_s": round(time.monotonic() - self._held_at, 3)} if self._go is not None else {}
        self._publish("standby.dropped", level, reason=why, **held)
        self.incarnation.kill()

    def go(self) -> None:
        """Let it execute its command: the first thing that happens."""
        if self._go is None:
            raise RuntimeError("it is not held")
        self._go()
        self.has_gone = True
        self._ended(self)

    def tell(self) -> None:
        """What came before it was told: its own turn."""
        self._publish("standby.used", "info", held_s=round(time.monotonic() - self._held_at, 3))
        self._told.set()

    def _publish(self, event: str, level: str, **fields: object) -> None:
        instance = self._instance
        about = {"worker": instance.worker.name, "instance": instance.name, "incarnation": self.number}
        instance.services.bus.publish(event, level, **about, **fields)
