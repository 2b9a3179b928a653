"""A new configuration, applied to the instances that it changes and to no other."""

from collections.abc import Callable, Sequence

import trio

from supervisor.policy.diff import FleetDiff, diff
from supervisor.policy.restart import Restart, Start, State
from supervisor.runtime.instance import Instance
from supervisor.runtime.lowering import AT_REST, lower
from supervisor.runtime.order import Order
from supervisor.runtime.roster import Roster
from supervisor.runtime.sd_notify import Notifier
from supervisor.spec.errors import ConfigError
from supervisor.spec.model import Fleet, instance_names


class Reload:
    """One at a time."""

    def __init__(
        self, roster: Roster, read_config: Callable[[], Fleet], follow: Callable[[Fleet], None], notifier: Notifier
    ) -> None:
        """read_config: read and check the configuration again; ConfigError. follow: the daemon's own part of it."""
        self._roster = roster
        self._read_config = read_config
        self._follow = follow
        self._notifier = notifier
        self.under_way = trio.Lock()

    async def run(self, *, dry_run: bool) -> FleetDiff:
        """Read and apply: what was found to differ. ConfigError: nothing was changed."""
        async with self.under_way:
            try:
                new = self._read_config()
            except ConfigError as error:
                problems = [str(one) for one in error.problems]
                self._roster.bus.publish("daemon.reload_failed", "error", problems=problems)
                raise
            found = diff(self._roster.spec, new)
            if dry_run or self._roster.stopping:
                return found
            self._notifier.reloading()
            await self._apply(new, found)
            self._notifier.ready()
            self._roster.bus.publish(
                "daemon.reloaded",
                added=len(found.added),
                removed=len(found.removed),
                changed=len(found.changed),
                unchanged=len(found.unchanged),
            )
            return found

    async def _apply(self, new: Fleet, found: FleetDiff) -> None:
        roster = self._roster
        leaving = [roster.instances[name] for name in found.removed]
        lower(roster, leaving, "reload")
        await roster.until(lambda: roster.stopping or self._are_down(leaving))
        if roster.stopping:
            return
        for instance in leaving:
            if instance.status.state is State.UNKILLABLE:
                continue  # it keeps its name until it is gone: a second copy must not come
            roster.remove(instance)
        roster.spec = new
        self._follow(new)
        roster.tell_missing_controllers()
        roster.order = Order(new)
        roster.services.slots.total_tokens = new.supervisor.start_concurrency
        for instance in roster.add_missing(new):
            roster.services.nursery.start_soon(instance.run_timer)
        anew = {*found.added, *(change.instance for change in found.changed if change.relaunch)}
        workers = {name: worker for worker in new.workers.values() for name in instance_names(worker)}
        for name, worker in workers.items():
            instance = roster.instances[name]
            if name in anew and instance.may_have_child:
                instance.next_worker = worker
                if instance.status.wanted and not instance.leaving:
                    instance.handle(Restart("reload"))
            else:
                instance.respec(worker)
                instance.save()
                if name in anew and instance.status.wanted and instance.status.state in (State.BACKOFF, State.FAILED):
                    instance.handle(Start("reload"))  # what failed was the old one: nothing is to be waited for
        for name in roster.order.first_to_last(found.added):
            if roster.instances[name].worker.autostart:
                roster.instances[name].handle(Start("reload"))
        roster.tell_all()

    def _are_down(self, leaving: Sequence[Instance]) -> bool:
        """Whether all are at rest; what somebody started meanwhile is stopped again."""
        lower(self._roster, [one for one in leaving if one.status.wanted and not one.leaving], "reload")
        return all(one.status.state in AT_REST for one in leaving)
