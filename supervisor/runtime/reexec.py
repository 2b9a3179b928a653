"""Becoming another program, or the same anew, without an end: execve(2) in the main thread, from within Trio's run.

Nothing is unwound before: no task is cancelled, no worker let go of. So an execve that fails returns to a daemon that
lost nothing, and one that succeeds leaves what a daemon killed at that moment would, but for its output, which is
written, its locks and its listening sockets, which stay open, and its signals, which wait.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
import trio

from supervisor import __version__
from supervisor.policy.diff import diff
from supervisor.runtime import signals
from supervisor.runtime.fleet import FleetRuntime
from supervisor.runtime.handover import VARIABLE, Descriptors, Handover
from supervisor.runtime.program import Program
from supervisor.runtime.record_log import RecordLog
from supervisor.runtime.reexec_check import CannotReexecError, Verdict, check
from supervisor.runtime.reload import CannotReload
from supervisor.runtime.sd_notify import Notifier
from supervisor.spec.errors import ConfigError
from supervisor.spec.model import Fleet

SETTLE_S = 10.0  # for set-ups under way, and for output that a slow file takes
HOLD_S = 0.5  # at a time: shorter than an ended worker's output is waited for
PAUSE_S = 0.02

Client = Callable[[], int]


class Door(Protocol):
    """A listening socket and who is served there."""

    @property
    def fd(self) -> int:
        """The socket's descriptor."""

    async def shut(self) -> None:
        """Let nobody in, and those who are in finish. Who connects meanwhile waits."""

    def reopen(self) -> None:
        """Go on."""


class Reexec:
    """One at a time."""

    def __init__(
        self,
        fleet: FleetRuntime,
        *,
        program: Program,
        environ: Mapping[str, str],
        read_config: Callable[[], Fleet],
        notifier: Notifier,
        records: RecordLog,
        locks: tuple[int, int],
        ids: Callable[[], int],
        doors: tuple[Door, Door],
    ) -> None:
        """ids: the descriptor that holds the locks on ids, or -1. doors: of the control socket and the exec socket."""
        self._fleet = fleet
        self._program = program
        self._environ = environ
        self._read_config = read_config
        self._notifier = notifier
        self._records = records
        self._locks = locks
        self._ids = ids
        self._doors = doors
        self._under_way = False

    async def run(self, client: Client | None = None) -> None:
        """Re-execute. Returns never; CannotReexecError, ConfigError: all is as before, and that was published.

        client: gives a descriptor of the connection of who asked; the next program answers there.
        """
        asked_at = time.monotonic()
        try:
            await self._alone(asked_at, client)
        except (CannotReexecError, ConfigError) as error:
            problems = {"problems": [str(one) for one in error.problems]} if isinstance(error, ConfigError) else {}
            words = "cannot re-execute: the configuration is wrong" if problems else str(error)
            self._fleet.bus.publish("daemon.reexec_failed", "error", error=words, **problems)
            raise

    async def _alone(self, asked_at: float, client: Client | None) -> None:
        if self._under_way:
            raise CannotReexecError("it is under way already")
        self._under_way = True
        try:
            await self._attempt(asked_at, client)
        finally:
            self._under_way = False

    async def _attempt(self, asked_at: float, client: Client | None) -> None:
        fleet = self._fleet
        await fleet.until_begun()
        self._refuse_if_stopping()
        verdict = await check(self._program, self._environ, fleet.services.state.fd)
        await self._apply_configuration()
        async with fleet.reloading:
            self._refuse_if_stopping()
            await self._leave(verdict, asked_at, client)

    async def _leave(self, verdict: Verdict, asked_at: float, client: Client | None) -> None:
        """Bring all to rest and execute; where that fails, have all go on."""
        fleet = self._fleet
        self._notifier.reloading()
        slots = fleet.services.slots
        total, slots.total_tokens = slots.total_tokens, 0  # no set-up begins
        try:
            await self._let_standbys_go()
            await self._settle()
            for door in self._doors:
                await door.shut()
            await self._become(verdict, asked_at, client)
        finally:
            signals.unblock()
            slots.total_tokens = total
            for instance in fleet.instances.values():
                instance.output.go_on()
                instance.standby.reopen()
            for door in self._doors:
                door.reopen()
            self._notifier.ready()

    async def _let_standbys_go(self) -> None:
        """They are bound to this program by their channels; the next one builds its own."""
        instances = self._fleet.instances.values()
        for instance in instances:
            instance.standby.shut()
        with trio.move_on_after(SETTLE_S):
            for instance in list(instances):
                await instance.standby.gone()

    def _refuse_if_stopping(self) -> None:
        if self._fleet.stopping or self._fleet.shutdown_requested.is_set():
            raise CannotReexecError("the daemon is stopping")

    async def _apply_configuration(self) -> None:
        """What left the configuration is stopped by its own rules, as a reload does, and not found as a stray later."""
        try:
            new = self._read_config()
        except ConfigError:  # the other program, which knows more keys, can read it
            return
        if diff(self._fleet.spec, new).empty:
            return
        try:
            await self._fleet.reload()
        except CannotReload as error:
            raise CannotReexecError(str(error)) from None

    async def _settle(self) -> None:
        """Wait for set-ups under way, which would be interrupted, and for stops that wait for others."""
        with trio.move_on_after(SETTLE_S):
            while self._fleet.services.slots.borrowed_tokens or self._leaving():  # noqa: ASYNC110  (a limiter has none)
                await trio.sleep(PAUSE_S)
        if leaving := self._leaving():  # what hangs in its set-up is built anew; a stop must not be forgotten
            raise CannotReexecError(f"{', '.join(leaving)} is to stop once others have; wait for that")

    def _leaving(self) -> list[str]:
        return [name for name, one in self._fleet.instances.items() if one.leaving]

    async def _become(self, verdict: Verdict, asked_at: float, client: Client | None) -> None:
        """Find the moment at which all that was read is written, and use it: there is no `await` behind."""
        outputs = [one.output for one in self._fleet.instances.values()]
        with trio.move_on_after(SETTLE_S):
            while True:
                for output in outputs:
                    output.hold()
                with trio.move_on_after(HOLD_S):
                    while not all(output.is_written for output in outputs):  # noqa: ASYNC110  (a thousand)
                        await trio.sleep(PAUSE_S)
                    await self._hear_signals()
                    self._refuse_if_stopping()
                    if all(output.is_written for output in outputs):
                        self._execute(verdict, asked_at, client)
                signals.unblock()
                for output in outputs:
                    output.go_on()
                await trio.sleep(PAUSE_S)
        slow = [output.instance for output in outputs if not output.is_written]
        raise CannotReexecError(f"the log of {', '.join(slow)} takes what was read too slowly")

    async def _hear_signals(self) -> None:
        """Block them; those that came before are obeyed by the task that takes them."""
        signals.block()
        heard = trio.Event()
        trio.lowlevel.current_trio_token().run_sync_soon(heard.set)  # behind what their handlers have left there
        await heard.wait()
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()

    def _execute(self, verdict: Verdict, asked_at: float, client: Client | None) -> None:
        fleet, bus = self._fleet, self._fleet.bus
        for instance in fleet.instances.values():
            instance.save()
        tails: dict[str, Any] = {
            name: left for name, one in fleet.instances.items() if (left := one.output.hand_over())
        }
        self._records.close()
        opened: list[int] = []
        try:
            runtime_lock, state_lock = self._locks
            if client is not None:
                opened.append(client())
            fds = Descriptors(
                runtime_lock=runtime_lock,
                state_lock=state_lock,
                control=self._doors[0].fd,
                execution=self._doors[1].fd,
                state=fleet.services.state.fd,
                ids=self._ids(),
                client=opened[0] if opened else -1,
            )
            kept, last_id = bus.remembered()
            handover = Handover(__version__, os.getpid(), asked_at, fds, last_id, kept, tails)
            opened.append(handover.write())
            inherited = [opened[-1], *(fd for fd in msgspec.structs.astuple(fds) if fd >= 0)]
            for fd in inherited:
                os.set_inheritable(fd, True)
            self._notifier.watchdog()
            try:
                environ = {**self._environ, VARIABLE: str(opened[-1])}
                os.execve(self._program.path, self._program.arguments, environ)  # noqa: S606  (what was called before)
            finally:
                for fd in inherited:
                    os.set_inheritable(fd, False)
        except OSError as error:
            raise CannotReexecError(f"{self._program.path} (nsvisor {verdict.version}): {error.strerror}") from None
        finally:
            for fd in opened:
                os.close(fd)
