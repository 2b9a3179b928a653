"""Stopping some of the fleet: what requires one of them, or comes after it and is chosen too, goes first."""

from collections.abc import Sequence

from supervisor.policy.restart import LIVE, TERMINAL, State, Stop
from supervisor.runtime.instance import Instance
from supervisor.runtime.roster import Roster
from supervisor.runtime.turns import Portions

FEW = 16  # are stopped at once; of more, the rest as there is time for it
AT_REST = (*TERMINAL, State.UNKILLABLE)


def lower(roster: Roster, chosen: Sequence[Instance], by: str) -> None:
    """Want them down; each goes once all above it are."""
    names = {one.name for one in chosen}
    for instance in chosen:
        instance.leaving = True
    for instance in chosen:
        roster.order.changed(instance, roster.instances)  # those that require it learn that it goes
    later: list[Instance] = []
    at_once = FEW
    for instance in chosen:
        above = [roster.instances[name] for name in roster.order.above(instance.name, names)]
        if any(map(_holds_up, above)):
            roster.services.nursery.start_soon(_stop_below, roster, instance, above, by)
        elif at_once:
            at_once -= 1
            _stop(instance, by)
        else:
            later.append(instance)
    if later:
        roster.services.nursery.start_soon(_stop_each, later, by)


async def _stop_below(roster: Roster, instance: Instance, above: Sequence[Instance], by: str) -> None:
    await roster.until(lambda: not instance.leaving or not any(map(_holds_up, above)))
    _stop(instance, by)


async def _stop_each(instances: Sequence[Instance], by: str) -> None:
    portions = Portions()
    for instance in instances:
        await portions.rest()
        _stop(instance, by)


def _stop(instance: Instance, by: str) -> None:
    if instance.leaving:  # else somebody wanted it up meanwhile
        instance.leaving = False
        instance.handle(Stop(by))


def _holds_up(instance: Instance) -> bool:
    """Whether what lies below it has to wait for its end, which is under way."""
    state = instance.status.state
    return state is State.STOPPING or (instance.leaving and state in LIVE and state is not State.UNKILLABLE)
