"""A new configuration, applied to the instances that it changes and to no other.

All that can fail comes first: reading and checking the files, then going through what is to be launched anew. From
there on nothing fails, and nobody who asked can break it off.
"""

import os
from collections.abc import Callable, Sequence

import trio
from msgspec.structs import replace

from supervisor.policy.diff import Change, FleetDiff, diff
from supervisor.policy.restart import Restart, Start, State
from supervisor.runtime.instance import Instance
from supervisor.runtime.lowering import AT_REST, lower
from supervisor.runtime.order import Order
from supervisor.runtime.rehearsal import rehearse
from supervisor.runtime.roster import Roster
from supervisor.runtime.sd_notify import Notifier
from supervisor.spec.errors import ConfigError
from supervisor.spec.facts import HostFacts
from supervisor.spec.forms import signal_number
from supervisor.spec.model import Fleet, instance_names


class CannotReload(Exception):  # noqa: N818  (the name says what happened)
    """The daemon stops: what was not applied will not be."""


class Surroundings:
    """What a reload needs of the daemon."""

    def __init__(
        self,
        read_config: Callable[[], Fleet],
        preview: Callable[[Fleet], HostFacts],
        follow: Callable[[Fleet], None],
        notifier: Notifier,
    ) -> None:
        """read_config: read and check the files. preview: try the daemon's own part, and tell what the host would give.

        Both raise ConfigError, and change nothing. follow: do the daemon's own part; it does not fail.
        """
        self.read_config = read_config
        self.preview = preview
        self.follow = follow
        self.notifier = notifier


class _Request:
    """One who asked, and what is to be said to them."""

    def __init__(self, *, dry_run: bool) -> None:
        self.dry_run = dry_run
        self.answered = trio.Event()
        self.found: FleetDiff | None = None
        self.error: ConfigError | None = None


class Reload:
    """One at a time: each reads the files when its turn has come."""

    def __init__(self, roster: Roster, surroundings: Surroundings) -> None:
        self._roster = roster
        self._daemon = surroundings
        self.under_way = trio.Lock()

    async def run(self, *, dry_run: bool) -> FleetDiff:
        """Read and apply: what was found to differ. ConfigError: nothing was changed. CannotReload.

        Who is cancelled here does not know how it ended; it goes on.
        """
        request = _Request(dry_run=dry_run)
        self._roster.services.nursery.start_soon(self._serve, request)
        await request.answered.wait()
        if request.error is not None:
            raise request.error
        if request.found is None:
            raise CannotReload("cannot reload: the daemon is stopping")
        return request.found

    async def _serve(self, request: _Request) -> None:
        try:
            async with self.under_way:
                if not self._roster.stopping:
                    request.found = await self._reload(dry_run=request.dry_run)
        except ConfigError as error:
            request.error = error
        finally:
            request.answered.set()

    async def _reload(self, *, dry_run: bool) -> FleetDiff | None:
        roster, daemon = self._roster, self._daemon
        try:
            new = daemon.read_config()
            found = self._with_effects(diff(roster.spec, new))
            await rehearse(new, found, roster.services.placed(daemon.preview(new)), os.environ)
        except ConfigError as error:
            if not dry_run:
                problems = [str(one) for one in error.problems]
                roster.bus.publish("daemon.reload_failed", "error", problems=problems)
            raise
        if dry_run:
            return found
        daemon.notifier.reloading()
        applied = await self._apply(new, found)
        daemon.notifier.ready()
        if not applied:
            return None
        roster.bus.publish(
            "daemon.reloaded",
            added=len(found.added),
            removed=len(found.removed),
            changed=len(found.changed),
            unchanged=len(found.unchanged),
        )
        return found

    def _with_effects(self, found: FleetDiff) -> FleetDiff:
        """What a new sandbox means for each, as it is now."""
        return replace(found, changed=tuple(map(self._with_effect, found.changed)))

    def _with_effect(self, change: Change) -> Change:
        instance = self._roster.instances[change.instance]
        if not change.relaunch or (instance.status.wanted and instance.may_have_child):
            return change
        starts = instance.status.wanted and instance.status.state in (State.BACKOFF, State.FAILED)
        return replace(change, effect="start" if starts else "next start")

    async def _apply(self, new: Fleet, found: FleetDiff) -> bool:
        """Whether it was: the daemon may be told to stop while those that are to leave do."""
        roster = self._roster
        leaving = [roster.instances[name] for name in found.removed]
        lower(roster, leaving, "reload")
        await roster.until(lambda: roster.stopping or self._are_down(leaving))
        if roster.stopping:
            return False
        for instance in leaving:
            if instance.status.state is State.UNKILLABLE:  # it keeps its name: a second copy must not come
                roster.services.nursery.start_soon(self._remove_once_gone, instance)
            else:
                roster.remove(instance)
        roster.spec = new
        self._daemon.follow(new)
        roster.tell_missing_controllers()
        roster.order = Order(new)
        roster.services.slots.total_tokens = new.supervisor.start_concurrency
        for instance in roster.add_missing(new):
            roster.services.nursery.start_soon(instance.run_timer)
        self._respec(new, found)
        for instance in roster.instances.values():
            instance.standby.review()
        await self._tell_keeper(new, found)
        for name in roster.order.first_to_last(found.added):
            if roster.instances[name].worker.autostart and not roster.stopping:
                roster.instances[name].handle(Start("reload"))
        roster.tell_all()
        return True

    def _respec(self, new: Fleet, found: FleetDiff) -> None:
        """Give each its new spec: at once where it can live with it, else with its next incarnation."""
        roster = self._roster
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

    async def _tell_keeper(self, new: Fleet, found: FleetDiff) -> None:
        """How long to wait for the next daemon, and how to stop whom should none come."""
        roster = self._roster
        await roster.services.keepers.follow(new.supervisor.adopt_timeout_s)
        for change in found.changed:
            instance = roster.instances[change.instance]
            child = instance.incarnation.child if instance.incarnation is not None else None
            if child is not None and not change.relaunch:
                stop = instance.worker.stop
                await child.keeper.set_rule(child.name, (signal_number(stop.signal), stop.grace_s))

    def _are_down(self, leaving: Sequence[Instance]) -> bool:
        """Whether all are at rest; what somebody started meanwhile is stopped again."""
        lower(self._roster, [one for one in leaving if one.status.wanted and not one.leaving], "reload")
        return all(one.status.state in AT_REST for one in leaving)

    async def _remove_once_gone(self, instance: Instance) -> None:
        """Unless a later reload wants it again."""
        roster = self._roster
        await roster.until(lambda: instance.status.state is not State.UNKILLABLE)
        async with self.under_way:
            wanted = any(instance.name in instance_names(worker) for worker in roster.spec.workers.values())
            if not wanted and roster.instances.get(instance.name) is instance and instance.status.state in AT_REST:
                roster.remove(instance)
