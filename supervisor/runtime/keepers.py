"""Which keeper serves new launches: the one found alive, or one started now, or its replacement."""

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress

import trio

from supervisor.runtime import cgroup_tree, keeper_process
from supervisor.runtime.keeper_errors import AdoptionError, KeeperGoneError
from supervisor.runtime.keeper_greeting import HeldWorker
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.telemetry.bus import EventBus

STARTS = 3  # in a row, before a launch is told that no keeper will live
GREET_TIMEOUT_S = 15.0
REPLACE_DELAY_S = 1.0  # unless a launch is waiting for it


class Keepers:
    """One at a time. The nursery runs each link's reader."""

    def __init__(self, path: str, environ: Mapping[str, str], adopt_timeout_s: float, bus: EventBus) -> None:
        """path: of the keeper's socket."""
        self.path = path
        self._environ = environ
        self._adopt_timeout_s = adopt_timeout_s
        self._bus = bus
        self._link: KeeperLink | None = None
        self._mourned: KeeperLink | None = None  # its death was told
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = trio.Lock()
        self._nursery: trio.Nursery | None = None
        self._started = 0
        self._leaving = False
        self.adopted = False  # whether the present one comes from an earlier daemon
        self._state_fd = -1
        self.cgroups = cgroup_tree.NO_TREE  # of the keeper that serves new launches

    @property
    def pid(self) -> int:
        """Of the keeper that serves new launches; 0 before there is one."""
        return self._link.pid if self._link is not None else 0

    async def open(self, nursery: trio.Nursery) -> tuple[KeeperLink, list[HeldWorker], int]:
        """Connect to a living keeper, or start one: its link, the workers it holds, the state memfd or -1."""
        self._nursery = nursery
        try:
            connection = keeper_process.connect(self.path)
        except OSError as error:
            raise KeeperGoneError(f"cannot connect to {self.path}: {error.strerror or error}") from None
        if connection is not None:
            link = KeeperLink(connection)
            try:
                with trio.fail_after(GREET_TIMEOUT_S):
                    held, state_fd = await link.greet()
            except AdoptionError:
                link.close()
                raise
            except (KeeperGoneError, trio.TooSlowError) as error:
                await self._end_useless(link)
                self._bus.publish("keeper.died", "warning", error=str(error) or "it does not answer and was killed")
            else:
                self._use(link)
                self.cgroups.sweep([worker.name for worker in held])
                self.adopted = True
                self._bus.publish("keeper.adopted", pid=link.pid, workers=sum("/" not in one.name for one in held))
                return link, held, state_fd
        return await self._start(), [], -1

    async def _end_useless(self, link: KeeperLink) -> None:
        """Kill one that cannot be talked to: its workers die with it, before there are second copies of them."""
        pid = link.peer_pid()
        link.close()
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # it is gone, or never was in our pid namespace
            return
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            await trio.lowlevel.wait_readable(pidfd)
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)

    async def current(self) -> KeeperLink:
        """Get the keeper for a launch; a dead one is replaced. KeeperGoneError where none will live."""
        async with self._lock:
            if self._link is not None and not self._link.gone.is_set():
                return self._link
            if self._leaving:
                raise KeeperGoneError("the daemon leaves, and so did the keeper")
            if self._link is not self._mourned:
                self._mourned = self._link
                self._bus.publish("keeper.died", "error", pid=self.pid, error=self._reap())
            link = await self._start()
            self._bus.publish("keeper.replaced", "warning", pid=link.pid)
            return link

    async def hold_state(self, fd: int) -> None:
        """Have the state memfd kept, by this keeper and its replacements."""
        self._state_fd = fd
        if self._link is not None:
            await self._link.hold_state(fd)

    async def dismiss(self, timeout_s: float = 5.0) -> None:
        """Let the keeper leave, now that it has no workers, and wait for it."""
        self._leaving = True
        async with self._lock:  # a replacement on its way would never hear of it
            if self._link is not None:
                await self._dismiss(self._link, timeout_s)

    async def _dismiss(self, link: KeeperLink, timeout_s: float) -> None:
        with trio.move_on_after(timeout_s):
            await link.dismiss()
            await link.gone.wait()
        link.close()
        self._reap()
        if link.gone.is_set():  # else it has a worker that does not die: the next daemon must find it
            self.cgroups.remove()
            with suppress(FileNotFoundError):
                os.unlink(self.path)

    async def _start(self) -> KeeperLink:
        failure = ""
        for _ in range(STARTS):
            self._started += 1
            unit = f"nsvisor-workers-{os.getpid()}-{self._started}.scope"
            wrapper = keeper_process.scope_command(self._environ, os.geteuid(), unit)
            try:
                link = await self._start_with(wrapper)
            except KeeperGoneError as error:
                failure = str(error)
                if wrapper:
                    self._bus.publish("keeper.scope_failed", "warning", unit=unit, error=failure)
                    try:
                        link = await self._start_with([])
                    except KeeperGoneError as again:
                        failure = str(again)
                        continue
                else:
                    continue
            self._bus.publish("keeper.started", pid=link.pid, scope=unit if wrapper else "")
            if self._state_fd >= 0:
                await link.hold_state(self._state_fd)
            return link
        raise KeeperGoneError(f"no keeper can be started: {failure}")

    async def _start_with(self, wrapper: list[str]) -> KeeperLink:
        self._reap()
        try:
            listening = keeper_process.listen(self.path)
            with listening:
                self._process = keeper_process.start_keeper(
                    self._environ, wrapper, listener=listening.fileno(), adopt_timeout_s=self._adopt_timeout_s
                )
                connection = keeper_process.connect(self.path)
        except OSError as error:
            self._kill()
            raise KeeperGoneError(f"cannot start it: {error}") from None
        if connection is None:
            self._kill()
            raise KeeperGoneError("its socket refuses connections")
        link = KeeperLink(connection)
        try:
            with trio.fail_after(GREET_TIMEOUT_S):
                await link.greet()
        except KeeperGoneError:
            link.close()
            raise KeeperGoneError(f"it died at once ({self._reap()}); its words are on standard error") from None
        except trio.TooSlowError:
            link.close()
            self._kill()
            raise KeeperGoneError(f"it did not answer within {GREET_TIMEOUT_S:g} s and was killed") from None
        self._use(link)
        return link

    def _kill(self) -> None:
        """Be rid of a keeper that never served."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def _use(self, link: KeeperLink) -> None:
        if self._nursery is None:
            raise RuntimeError("open() comes first")
        if self._link is not None:
            self._link.close()
        self._link = link
        self.cgroups = cgroup_tree.prepare(link.pid)
        self._nursery.start_soon(self._run, link)

    async def _run(self, link: KeeperLink) -> None:
        """Serve a link to its end; a keeper that dies is replaced, so that there is one to hold the state."""
        await link.run()
        await trio.sleep(REPLACE_DELAY_S)
        with suppress(KeeperGoneError):  # the next launch tries again, and is told
            await self.current()

    def _reap(self) -> str:
        """Reap a keeper of ours that has ended: how it did."""
        if self._process is None:
            return "it was not started by this daemon"
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "it still runs"
        self._process = None
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
