"""Which keeper serves new launches: the one found alive, one started now, or its replacement; and which ones drain."""

import os
from collections.abc import Mapping
from contextlib import suppress

import trio

from supervisor import __version__
from supervisor.runtime import cgroup_tree, keeper_process, keeper_records
from supervisor.runtime.cgroup import Cgroup
from supervisor.runtime.keeper_errors import KeeperGoneError
from supervisor.runtime.keeper_greeting import HeldWorker
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.keeper_records import Record
from supervisor.runtime.keeper_start import KeeperStart
from supervisor.runtime.keeper_takeover import take_over
from supervisor.runtime.presence import until_missing
from supervisor.telemetry.bus import EventBus
from supervisor.wire import PROTOCOL

REPLACE_DELAY_S = 1.0  # unless a launch is waiting for it
MOURNING_S = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # after the death of a keeper: pauses between looks for what it leaves


class Keepers:
    """One serves new launches. Others, of an older version, leave when their last worker has.

    The nursery runs each link's reader.
    """

    def __init__(
        self, path: str, environ: Mapping[str, str], adopt_timeout_s: float, bus: EventBus, records: str = ""
    ) -> None:
        """path: of the keeper's socket. records: the directory of theirs; "" for none."""
        self.path = path
        self._adopt_timeout_s = adopt_timeout_s
        self._bus = bus
        self._records = records
        self._record: Record | None = None  # of the present one
        self._link: KeeperLink | None = None
        self._mourned: KeeperLink | None = None  # its death was told
        self._draining: dict[KeeperLink, Record | None] = {}
        self._starts = KeeperStart(path, environ, bus, records)
        self._lock = trio.Lock()
        self._nursery: trio.Nursery | None = None
        self._guard = trio.CancelScope()  # of what sees that the socket stays there
        self._leaving = False
        self.adopted = False  # whether there is one of an earlier daemon
        self.undying: list[Cgroup] = []  # what a keeper that is gone has left, was killed, and did not die
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
        greeted, self._trees = await take_over(self.path, self._records, self._bus)
        held = [worker for one in greeted for worker in one.workers]
        names = {worker.name for worker in held}
        self.undying = [cgroup for tree in self._trees for cgroup in tree.alive(names)]
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

    def _is_ours(self, link: KeeperLink) -> bool:
        return (link.protocol, link.version) == (PROTOCOL, __version__)

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

    async def _mourn(self, record: Record | None, tree: cgroup_tree.CgroupTree, pid: int) -> None:
        """Bury one that has died once its workers are gone. Where they live long, the next daemon does it."""
        for pause_s in MOURNING_S:
            await trio.sleep(pause_s)
            if self._leaving:
                return
            if tree.has_no_workers():
                self._bury(record, tree, pid)
                return

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
        if self._link is not None and not self._link.gone.is_set() and not self._lock.locked():
            return self._link
        async with self._lock:
            if self._link is not None and not self._link.gone.is_set():
                return self._link
            if self._leaving:
                raise KeeperGoneError("the daemon leaves, and so did the keeper")
            if self._link is not self._mourned:
                self._mourned = self._link
                self._bus.publish("keeper.died", "error", pid=self.pid, error=self._starts.reap(self.pid))
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
                await until_missing(self.path, lambda: keeper_process.is_there(self.path))
                error = ""
                async with self._lock:
                    link = self._link
                    if link is not None and not link.gone.is_set() and not keeper_process.is_there(self.path):
                        error = await self._remake_socket(link)
                if error and error != told:
                    self._bus.publish("keeper.unreachable", "error", path=self.path, error=error)
                told = error

    async def _remake_socket(self, link: KeeperLink) -> str:
        """Have the keeper listen there again: why it cannot, or ""."""
        try:
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            with keeper_process.listen(self.path) as listening:
                await link.listen(listening.fileno())
        except OSError as error:
            return str(error)
        self._bus.publish("keeper.restored", "warning", path=self.path)
        return ""

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
            self._starts.reap(self.pid)
        if link.gone.is_set():
            self._bury(record, tree, link.pid)

    # -- a new one --------------------------------------------------------------------------------------------------

    async def _start(self) -> KeeperLink:
        link, record = await self._starts.start(self._adopt_timeout_s, self._put_aside)
        self._use(link, record)
        if self._state_fd >= 0:
            await link.hold_state(self._state_fd)
        return link

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

    def _use(self, link: KeeperLink, record: Record | None) -> None:
        if self._nursery is None:
            raise RuntimeError("open() comes first")
        if self._link is not None:
            self._link.close()
            self._trees.append(self.cgroups)  # workers may have outlived it
            self._nursery.start_soon(self._mourn, self._record, self.cgroups, self._link.pid)
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
