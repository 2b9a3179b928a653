"""Which keeper serves new launches: the one found alive, one started now, or its replacement; and which ones drain."""

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, suppress

import trio

from supervisor import __version__
from supervisor.runtime import cgroup_tree, keeper_process, keeper_records
from supervisor.runtime.cgroup import Cgroup
from supervisor.runtime.keeper_end import end_keeper
from supervisor.runtime.keeper_errors import AdoptionError, KeeperGoneError, ProtocolError
from supervisor.runtime.keeper_greeting import HeldWorker
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.keeper_records import Record
from supervisor.runtime.keeper_search import search
from supervisor.telemetry.bus import EventBus
from supervisor.wire import PROTOCOL

STARTS = 3  # in a row, before a launch is told that no keeper will live
GREET_TIMEOUT_S = 15.0
SOCKET_CHECK_S = 3.0  # between two looks whether the socket's file is still there
REPLACE_DELAY_S = 1.0  # unless a launch is waiting for it


class Keepers:
    """One serves new launches. Others, of an older version, leave when their last worker has.

    The nursery runs each link's reader.
    """

    def __init__(
        self, path: str, environ: Mapping[str, str], adopt_timeout_s: float, bus: EventBus, records: str = ""
    ) -> None:
        """path: of the keeper's socket. records: the directory of theirs; "" for none."""
        self.path = path
        self._environ = environ
        self._adopt_timeout_s = adopt_timeout_s
        self._bus = bus
        self._records = records
        self._record: Record | None = None  # of the present one
        self._link: KeeperLink | None = None
        self._mourned: KeeperLink | None = None  # its death was told
        self._draining: dict[KeeperLink, Record | None] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = trio.Lock()
        self._nursery: trio.Nursery | None = None
        self._guard = trio.CancelScope()  # of what sees that the socket stays there
        self._started = 0
        self._leaving = False
        self.adopted = False  # whether there is one of an earlier daemon
        self._state_fd = -1
        self.cgroups = cgroup_tree.NO_TREE  # of the keeper that serves new launches
        self._trees: list[cgroup_tree.CgroupTree] = []  # of others, living or dead, where workers may have theirs

    def cgroup_of(self, name: str) -> Cgroup | None:
        """That of an incarnation, there or not, whichever keeper it was launched by."""
        found = (tree.cgroup(name) for tree in self._trees)
        return next((one for one in found if one is not None and one.is_there()), self.cgroups.cgroup(name))

    @property
    def ends_orphans(self) -> bool:
        """Whether a worker that outlives its keeper will be ended, should no daemon adopt it.

        The next daemon ends it, which knows where it is by the keeper's record, and can do it by cgroup.kill; and if
        there is none, the service manager that made the scope.
        """
        return self._record is not None and self.cgroups.is_scope and self.cgroups.can_kill

    @property
    def pid(self) -> int:
        """Of the keeper that serves new launches; 0 before there is one."""
        return self._link.pid if self._link is not None else 0

    # -- at the start -----------------------------------------------------------------------------------------------

    async def open(self, nursery: trio.Nursery) -> tuple[KeeperLink, list[HeldWorker], int]:
        """Connect to those that live, or start one: its link, the workers they all hold, the state memfd or -1."""
        self._nursery = nursery
        records = keeper_records.find(self._records) if self._records else []
        found, lost = search(self.path, records)
        for pid in lost:
            self._bus.publish("keeper.died", "warning", pid=pid, error="it cannot be reached and was killed")
            await end_keeper(pid, self._bus, tell=True)
        greeted = [one for one in [await self._greet(*pair) for pair in found] if one is not None]
        held = [worker for _, _, workers, _ in greeted for worker in workers]
        self._sweep(greeted, records, {worker.name for worker in held})
        greeted.sort(key=lambda one: keeper_records.started(one[0].pid))
        state_fd = -1
        for link, record, workers, fd in greeted:
            if fd >= 0:  # all of them hold the same; the youngest's it is, should an old one hold another
                if state_fd >= 0:
                    os.close(state_fd)
                state_fd = fd
            self.adopted = True
            self._bus.publish("keeper.adopted", pid=link.pid, workers=sum("/" not in one.name for one in workers))
            if self._is_ours(link) and link is greeted[-1][0]:
                self._use(link, record)
            else:
                await self._drain(link, record)
        link = self._link or await self._start()
        nursery.start_soon(self._stay_reachable)
        return link, held, state_fd

    async def _greet(
        self, link: KeeperLink, record: Record | None
    ) -> "tuple[KeeperLink, Record | None, list[HeldWorker], int] | None":
        try:
            with trio.fail_after(GREET_TIMEOUT_S):
                held, state_fd = await link.greet()
        except AdoptionError:
            link.close()
            raise
        except (KeeperGoneError, trio.TooSlowError) as error:
            pid = link.peer_pid()
            link.close()
            await end_keeper(pid, self._bus, tell=isinstance(error, ProtocolError))
            self._bus.publish("keeper.died", "warning", error=str(error) or "it does not answer and was killed")
            return None
        return link, record, held, state_fd

    def _is_ours(self, link: KeeperLink) -> bool:
        return (link.protocol, link.version) == (PROTOCOL, __version__)

    def _sweep(
        self,
        greeted: "list[tuple[KeeperLink, Record | None, list[HeldWorker], int]]",
        records: list[Record],
        held: set[str],
    ) -> None:
        """End what no keeper holds, in the cgroups of the living and of the dead: it cannot be adopted any more."""
        for link, _, _, _ in greeted:
            cgroup_tree.prepare(link.pid).sweep(held)
        for record in records:
            if record.is_held():
                continue
            if record.known is not None and record.known.cgroup:
                tree = cgroup_tree.of_dead(record.known.cgroup)
                for name in tree.end(held):
                    self._bus.publish("worker.stray", "warning", name=name, pid=0)
                if not tree.is_empty():
                    self._trees.append(tree)
                    continue
            record.remove()

    async def _drain(self, link: KeeperLink, record: Record | None) -> None:
        """Have it leave when its last worker has: it was started by another version."""
        if self._nursery is None:
            raise RuntimeError("open() comes first")
        self._draining[link] = record
        tree = cgroup_tree.prepare(link.pid)
        self._trees.append(tree)
        self._nursery.start_soon(self._run_draining, link, tree)
        await link.set_adopt_timeout(self._adopt_timeout_s)
        await link.dismiss()

    async def _run_draining(self, link: KeeperLink, tree: cgroup_tree.CgroupTree) -> None:
        await link.run()
        record = self._draining.pop(link, None)
        if self._leaving:
            return
        self._bus.publish("keeper.drained", pid=link.pid)
        link.close()
        self._bury(record, tree, link.pid)

    def _bury(self, record: Record | None, tree: cgroup_tree.CgroupTree, pid: int) -> None:
        """Remove what a keeper that has left leaves behind, unless workers live in its cgroups."""
        with suppress(OSError):
            os.unlink(keeper_process.aside(self.path, pid))
        tree.remove()
        if tree.is_empty():
            if tree in self._trees:
                self._trees.remove(tree)
            if record is not None:
                record.remove()

    # -- while the daemon lives -------------------------------------------------------------------------------------

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
        """Have the state memfd kept, by these keepers and their replacements."""
        self._state_fd = fd
        for link in self._links():
            await link.hold_state(fd)

    async def follow(self, adopt_timeout_s: float) -> None:
        """Wait so long for the next daemon from now on (s, may be inf): those that run, and those to come."""
        self._adopt_timeout_s = adopt_timeout_s
        for link in self._links():
            await link.set_adopt_timeout(adopt_timeout_s)

    def _links(self) -> list[KeeperLink]:
        return [*([self._link] if self._link is not None else []), *self._draining]

    async def _stay_reachable(self) -> None:
        """Make the socket again that somebody has deleted, perhaps with all of the runtime directory."""
        told = ""
        with self._guard:
            while True:
                await trio.sleep(SOCKET_CHECK_S)
                async with self._lock:
                    link = self._link
                    if link is None or link.gone.is_set() or keeper_process.is_there(self.path):
                        continue
                    try:
                        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
                        with keeper_process.listen(self.path) as listening:
                            await link.listen(listening.fileno())
                    except OSError as error:
                        if str(error) != told:
                            self._bus.publish("keeper.unreachable", "error", path=self.path, error=str(error))
                        told = str(error)
                    else:
                        told = ""
                        self._bus.publish("keeper.restored", "warning", path=self.path)

    async def dismiss(self, timeout_s: float = 5.0) -> None:
        """Let the keepers leave, now that they have no workers, and wait for them."""
        self._leaving = True
        self._guard.cancel()
        async with self._lock:  # a replacement on its way would never hear of it
            for link, record in list(self._draining.items()):
                await self._dismiss(link, record, cgroup_tree.prepare(link.pid), timeout_s)
            if self._link is not None:
                await self._dismiss(self._link, self._record, self.cgroups, timeout_s)
                if self._link.gone.is_set():  # else it has a worker that does not die: the next daemon must find it
                    with suppress(FileNotFoundError):
                        os.unlink(self.path)
            for old in keeper_records.find(self._records) if self._records else []:
                if not old.is_held() and (old.known is None or cgroup_tree.of_dead(old.known.cgroup).is_empty()):
                    old.remove()

    async def _dismiss(
        self, link: KeeperLink, record: Record | None, tree: cgroup_tree.CgroupTree, timeout_s: float
    ) -> None:
        with trio.move_on_after(timeout_s):
            await link.dismiss()
            await link.gone.wait()
        link.close()
        if link is self._link:
            self._reap()
        if link.gone.is_set():
            self._bury(record, tree, link.pid)

    # -- a new one --------------------------------------------------------------------------------------------------

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
        record: Record | None = None
        try:
            with ExitStack() as opened:
                self._put_aside()
                listening = [opened.enter_context(keeper_process.listen(self.path))]
                record, lock = self._make_record(opened)
                if record is not None:
                    with suppress(OSError):  # a file system without sockets: the other path is all there is
                        listening.append(opened.enter_context(record.listen()))
                self._process = keeper_process.start_keeper(
                    self._environ,
                    wrapper,
                    listeners=[one.fileno() for one in listening],
                    adopt_timeout_s=self._adopt_timeout_s,
                    lock=lock,
                )
                if record is not None:
                    record.write(self._process.pid, "")
                connection = keeper_process.connect(self.path)
        except OSError as error:
            self._kill(record)
            raise KeeperGoneError(f"cannot start it: {error}") from None
        if connection is None:
            self._kill(record)
            raise KeeperGoneError("its socket refuses connections")
        link = KeeperLink(connection)
        try:
            with trio.fail_after(GREET_TIMEOUT_S):
                await link.greet()
        except KeeperGoneError:
            link.close()
            how = self._reap()
            self._kill(record)
            raise KeeperGoneError(f"it died at once ({how}); its words are on standard error") from None
        except trio.TooSlowError:
            link.close()
            self._kill(record)
            raise KeeperGoneError(f"it did not answer within {GREET_TIMEOUT_S:g} s and was killed") from None
        self._use(link, record)
        return link

    def _make_record(self, opened: ExitStack) -> tuple[Record | None, int]:
        """None and -1 where the state directory takes none: told, for a lost runtime directory costs more then."""
        if not self._records:
            return None, -1
        try:
            record, lock = keeper_records.make(self._records)
        except OSError as error:
            self._bus.publish("keeper.unrecorded", "error", error=str(error))
            return None, -1
        opened.callback(os.close, lock)
        return record, lock

    def _put_aside(self) -> None:
        """Keep the socket of one that drains: the next daemon looks for it beside the new one's."""
        for link in self._draining:
            other = keeper_process.connect(self.path)
            if other is None:
                return
            with other:
                if keeper_process.peer_pid(other) == link.pid:
                    os.rename(self.path, keeper_process.aside(self.path, link.pid))
                    return

    def _kill(self, record: Record | None) -> None:
        """Be rid of a keeper that never served."""
        if self._process is not None:
            self._process.kill()
            self._reap()
        if record is not None:
            record.remove()

    def _use(self, link: KeeperLink, record: Record | None) -> None:
        if self._nursery is None:
            raise RuntimeError("open() comes first")
        if self._link is not None:
            self._link.close()
            self._trees.append(self.cgroups)  # workers may have outlived it
            if self._record is not None and self.cgroups.is_empty():
                self._record.remove()
        self._link, self._record = link, record
        self.cgroups = cgroup_tree.prepare(link.pid)
        if record is not None:
            record.write(link.pid, self.cgroups.directory or "")
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
            with suppress(ChildProcessError):  # by a program, perhaps, that this process was before
                os.waitpid(self.pid, os.WNOHANG)
            return "it was not started by this daemon"
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "it still runs"
        self._process = None
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
