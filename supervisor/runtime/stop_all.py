"""The end of the whole fleet: each instance is stopped as soon as all that come after it are at rest."""

import trio

from supervisor.policy.restart import Kill, State, Stop
from supervisor.runtime.instance import Instance
from supervisor.runtime.lowering import AT_REST
from supervisor.runtime.roster import Roster
from supervisor.runtime.sd_notify import Notifier
from supervisor.runtime.turns import Portions

EXTEND_EVERY_S = 5.0
EXTEND_BY_S = 20.0


class StopAll:
    """Done once, when the daemon leaves."""

    def __init__(self, roster: Roster, by: str) -> None:
        self._roster = roster
        self._by = by
        self._at_once = False
        self._waiting: list[Instance] = []  # for those above them; the last to start first

    async def run(self, notifier: Notifier) -> None:
        """Until all are at rest. It ends: each has its grace, then the time that a kill may take."""
        roster = self._roster
        last_first = reversed(roster.order.first_to_last(roster.instances))
        self._waiting = [roster.instances[name] for name in last_first]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_extend, notifier)
            while not self._is_done():
                await self._advance()
                await roster.until(lambda: bool(self._to_stop() or self._to_kill()) or self._is_done())
            nursery.cancel_scope.cancel()

    def hasten(self) -> None:
        """Kill all that is left, in no order and with no grace."""
        if not self._at_once:
            self._at_once = True
            self._roster.bus.publish("daemon.hastened", "warning")
            self._roster.wake()

    async def _advance(self) -> None:
        """Stop those that nothing holds up any more, and with haste kill them."""
        portions = Portions()
        while free := self._to_stop():  # one that had no process frees those below it
            self._waiting = [instance for instance in self._waiting if self._is_held_up(instance)]
            for instance in free:
                await portions.rest()
                instance.handle(Stop(self._by))
        for instance in self._to_kill():
            await portions.rest()
            if _may_be_killed(instance):
                instance.handle(Kill(self._by, "SIGKILL"))

    def _to_stop(self) -> list[Instance]:
        return [instance for instance in self._waiting if not self._is_held_up(instance)]

    def _to_kill(self) -> list[Instance]:
        return [one for one in self._roster.instances.values() if self._at_once and _may_be_killed(one)]

    def _is_done(self) -> bool:
        return not self._waiting and all(one.status.state in AT_REST for one in self._roster.instances.values())

    def _is_held_up(self, instance: Instance) -> bool:
        if self._at_once or not instance.may_have_child:
            return False
        above = self._roster.order.above(instance.name, self._roster.instances)
        return any(self._roster.instances[name].status.state not in AT_REST for name in above)


def _may_be_killed(instance: Instance) -> bool:
    return instance.status.state is State.STOPPING and not instance.status.killed


async def _extend(notifier: Notifier) -> None:
    """Have the service manager wait as long as the workers' own rules do, whatever TimeoutStopSec= says."""
    while True:
        notifier.extend_timeout(EXTEND_BY_S)
        await trio.sleep(EXTEND_EVERY_S)
