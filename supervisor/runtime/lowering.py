"""Stopping some of the fleet: what requires one of them, or comes after it and is chosen too, goes first."""

from collections.abc import Sequence

from supervisor.policy.restart import LIVE, TERMINAL, State, Stop
from supervisor.runtime.instance import Instance
from supervisor.runtime.roster import Roster

AT_REST = (*TERMINAL, State.UNKILLABLE)


def lower(roster: Roster, chosen: Sequence[Instance], by: str) -> None:
    """Want them down; each goes once all above it are."""
    names = {one.name for one in chosen}
    for instance in chosen:
        instance.leaving = True
    for instance in chosen:
        roster.order.changed(instance, roster.instances)  # those that require it learn that it goes
    for instance in chosen:
        above = [roster.instances[name] for name in roster.order.above(instance.name, names)]
        if any(map(_holds_up, above)):
            roster.services.nursery.start_soon(_stop_below, roster, instance, above, by)
        else:
            instance.leaving = False
            instance.handle(Stop(by))


async def _stop_below(roster: Roster, instance: Instance, above: Sequence[Instance], by: str) -> None:
    await roster.until(lambda: not instance.leaving or not any(map(_holds_up, above)))
    if instance.leaving:  # else somebody wanted it up meanwhile
        instance.leaving = False
        instance.handle(Stop(by))


def _holds_up(instance: Instance) -> bool:
    """Whether what lies below it has to wait for its end, which is under way."""
    state = instance.status.state
    return state is State.STOPPING or (instance.leaving and state in LIVE and state is not State.UNKILLABLE)
