"""The keeper: forks sandboxes, holds their descriptors, reaps them, and outlives the daemon.

Messages from the daemon (descriptors in brackets):
    hello PROTOCOL                                   answered by `keeper`, one `held` per worker, then `end`
    launch NAME FLAGS SIGNAL GRACE_MS ROLES JOINS [hidden]    [one per role]; answered by `launched` or `refused`
    hold NAME                                        [one] a lock: hold it until the worker is reaped
    spawn NAME PATH ARGUMENT...                      [stdin, stdout, stderr, kept, kept]; a program beside the worker
                                                     whose name is first in NAME (web-0#17/pasta); answered as a launch
    ack NAME                                         the exit record was taken: forget the worker
    state                                            [memfd] hold this for the next daemon
    leave                                            go, as soon as no worker is left
To the daemon:
    keeper PROTOCOL PID COUNT                        [state memfd, if one is held]
    held NAME PID RUNNING|EXITED STATUS USER SYSTEM RSS   [pidfd, kept...]
    end
    launched NAME PID                                [pidfd]
    refused NAME INDEX START ERRNO SYSCALL MESSAGE
    exited NAME STATUS USER_US SYSTEM_US MAX_RSS_KIB
    busy PID                                         another daemon is connected
    protocol PROTOCOL                                not ours
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import gc
import os
import resource
import select
import signal
import sys
import time

from supervisor.kernel import process as kernel
from supervisor.kernel.clone import CLONE_NEWPID
from supervisor.kernel.libc import KernelError
from supervisor.kernel.title import set_title
from supervisor.nsinit import helper
from supervisor.nsinit.child import Descriptors
from supervisor.nsinit.held import Held
from supervisor.nsinit.launch import Refused, Request
from supervisor.nsinit.link import Link
from supervisor.nsinit.spare import FLAGS as SPARE_FLAGS
from supervisor.nsinit.spare import Spare
from supervisor.wire import PROTOCOL, WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HEADROOM = 64  # descriptors left for what cannot be refused: the next daemon's connection, and its messages
LONGEST_WAIT_S = 3600.0  # at a time: poll(2) takes an int of milliseconds, which is 24 days
RETRY_S = 1.0  # for those that do not die at once
ERROR_LENGTH = 500
SPAWN_FDS = 5  # descriptors 0-2 of a program beside a worker, two to hold
HELPER_GRACE_S = 1.0
SPARE_DELAY_MS = 5  # of quiet after a launch, before the next process is cloned ahead


class Keeper:
    """All of its state. One thread, one poll."""

    def __init__(self, listener: int, connection: int, adopt_timeout_s: float) -> None:
        """listener: a listening SOCK_SEQPACKET, or -1; connection: an open one, or -1; the timeout may be inf."""
        self.poll = select.poll()
        self.actions: dict[int, Callable[[], None]] = {}
        self.workers: dict[str, Held] = {}
        self.link: Link | None = None
        self.state_fd = -1
        self.leaving = False
        self.adopt_timeout_s = adopt_timeout_s
        self.alone_since = time.monotonic()
        self.self_pidfd = os.pidfd_open(os.getpid())
        self.descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.spares = listener >= 0  # a keeper of one launch needs none
        self.spare: Spare | None = None
        self.wants_spare = self.spares
        self.has_keyring = False
        self._leave_login_keyring()
        if listener >= 0:
            listening = _socket.socket(fileno=listener)
            listening.setblocking(False)
            listening.listen(8)  # again, by this process: SO_PEERCRED tells the next daemon whom it talks to
            self._watch(listener, lambda: self._accept(listening))
        if connection >= 0:
            self._connect(Link(_socket.socket(fileno=connection)))

    def run(self) -> None:
        """Serve until told to leave, or until no daemon came back in time."""
        gc.collect()
        gc.freeze()  # what lives now lives for ever: collections need not touch it, nor copy pages shared with children
        while not (self.leaving and not self.workers):
            timeout_ms = None
            if self.link is None:
                left_s = self.alone_since + self.adopt_timeout_s - time.monotonic()
                if left_s <= 0:
                    end_all([worker for worker in self.workers.values() if not worker.is_helper])
                    end_all([worker for worker in self.workers.values() if worker.is_helper])
                    break
                timeout_ms = int(min(left_s, LONGEST_WAIT_S) * 1000) + 1
            elif self.wants_spare:
                timeout_ms = SPARE_DELAY_MS
            events = self.poll.poll(timeout_ms)
            if not events and self.wants_spare:
                self._make_spare()
            for fd, _ in events:
                action = self.actions.get(fd)
                if action is not None:  # else an earlier action of this round closed it
                    action()
        if self.spare is not None:
            self.spare.discard()

    def _leave_login_keyring(self) -> None:
        """Join an empty keyring: what a sandbox falls back to that gets none of its own (kernel.keys.maxkeys, EDQUOT).

        Tried again before each launch until there is room for one.
        """
        with contextlib.suppress(KernelError):
            kernel.join_anonymous_keyring()
            self.has_keyring = True

    def _watch(self, fd: int, action: Callable[[], None]) -> None:
        self.poll.register(fd, select.POLLIN)
        self.actions[fd] = action

    def _unwatch(self, fd: int) -> None:
        self.poll.unregister(fd)
        del self.actions[fd]

    def _accept(self, listener: _socket.socket) -> None:
        try:
            fd, _ = listener._accept()  # type: ignore[attr-defined]
        except OSError:  # it went away meanwhile
            return
        link = Link(_socket.socket(fileno=fd))
        while self.link is not None and self.link.hung_up():
            self._serve(self.link)  # a dead daemon's last messages, and then its end: the next one is there already
        try:
            if link.peer_uid() not in (os.geteuid(), 0):
                link.close()
            elif self.link is not None:
                link.send("busy", os.getpid())
                self._watch(link.fileno(), lambda: self._turn_away(link))  # closed unread it would reset: "gone"
            else:
                self._connect(link)
        except OSError:
            link.close()

    def _turn_away(self, link: Link) -> None:
        """Read what a refused one says, to its end."""
        try:
            message = link.receive()
        except BlockingIOError:
            return
        except OSError:
            message = None
        if message is None:
            self._unwatch(link.fileno())
            link.close()
            return
        for fd in message[1]:
            os.close(fd)

    def _connect(self, link: Link) -> None:
        self.link = link
        self._watch(link.fileno(), lambda: self._serve(link))

    def _disconnect(self) -> None:
        if self.link is not None:
            self._unwatch(self.link.fileno())
            self.link.close()
            self.link = None
            self.alone_since = time.monotonic()

    def _say(self, *tokens: str | int, fds: list[int] | None = None) -> None:
        """Send to the daemon, if there is one; ask poll for room where its buffer is full."""
        if self.link is None:
            return
        try:
            self.link.send(*tokens, fds=fds)
            self._poll_for_room(self.link)
        except OSError:
            self._disconnect()

    def _poll_for_room(self, link: Link) -> None:
        self.poll.modify(link.fileno(), select.POLLIN | (select.POLLOUT if link.queue else 0))

    def _serve(self, link: Link) -> None:
        try:
            if link.queue:
                link.flush()
                self._poll_for_room(link)
            message = link.receive()
        except BlockingIOError:
            return
        except OSError:
            message = None
        if message is None:
            self._disconnect()
            return
        (verb, *arguments), fds = message
        try:
            self.VERBS[verb](self, arguments, fds)
        except Exception as error:  # noqa: BLE001  (whatever a message holds: workers must not die of it)
            self._say("error", f"{verb[:40]}: {type(error).__name__}: {error}"[:ERROR_LENGTH])
        finally:
            for fd in fds:
                os.close(fd)

    def _hello(self, arguments: list[str], _fds: list[int]) -> None:
        if int(arguments[0]) != PROTOCOL:
            self._say("protocol", PROTOCOL)
            return
        self.leaving = False
        self._say("keeper", PROTOCOL, os.getpid(), len(self.workers), fds=[self.state_fd] if self.state_fd >= 0 else [])
        for worker in self.workers.values():
            end = worker.exit or (0, 0, 0, 0)
            state = "EXITED" if worker.exit else "RUNNING"
            self._say("held", worker.name, worker.pid, state, *end, fds=[worker.pidfd, *worker.kept])
        self._say("end")

    def _launch(self, arguments: list[str], fds: list[int]) -> None:
        name, *numbers, roles, kinds = arguments[:6]
        hidden = arguments[6:] == ["hidden"]
        clone_flags, stop_signal, grace_ms = map(int, numbers)
        if len(fds) != len(roles.split()) or max(fds) > self.descriptors - HEADROOM:  # recvmsg drops what finds no room
            self._say("refused", name, 0, time.monotonic_ns(), errno.EMFILE, "recvmsg", os.strerror(errno.EMFILE))
            return
        given: dict[str, list[int]] = {}
        for role, fd in zip(roles.split(), fds, strict=True):
            given.setdefault(role, []).append(fd)
        joins = list(zip(given.get("join", []), map(int, kinds.split()), strict=True))
        # All is looked at before there is a child that nobody would know of.
        if name in self.workers or clone_flags & ~SPARE_FLAGS or len(given["stdio"]) != 3:
            raise WireError(f"{name}: held already, or flags or descriptors that are none")
        if not 0 < stop_signal <= signal.SIGRTMAX or grace_ms < 0:
            raise WireError(f"{name}: no rule to stop by: {stop_signal} {grace_ms}")
        try:
            pid, pidfd, report = self._fork(clone_flags, joins, given, hidden=hidden)
        except Refused as refused:
            self._say("refused", name, *refused.tokens)
            return
        kept = [os.dup(fd) for fd in given.get("keep", [])]
        worker = Held(name, pid, pidfd, report, kept, stop_signal, grace_ms / 1000)
        worker.owns_pid_namespace = bool(clone_flags & CLONE_NEWPID)
        self.workers[name] = worker
        self._say("launched", name, pid, fds=[pidfd])
        self._watch(pidfd, lambda: self._reap(worker))
        self.wants_spare = self.spares and self.spare is None

    def _fork(
        self, clone_flags: int, joins: list[tuple[int, int]], given: dict[str, list[int]], *, hidden: bool
    ) -> tuple[int, int, int]:
        """Take the spare where it fits, else clone: pid, pidfd, the report's reading end. Refused."""
        if not self.has_keyring:
            self._leave_login_keyring()
        plan, channel, stdio = given["plan"][0], given["channel"][0], given["stdio"]
        spare = self.spare
        # To move the spare into a cgroup would wait for an RCU grace period, some 9 ms; to clone into it costs 1 ms.
        cgroup = given.get("cgroup", [None])[0]
        if spare is not None and clone_flags == SPARE_FLAGS and not joins and cgroup is None:
            self.spare = None
            self._unwatch(spare.pidfd)
            if spare.give(plan, channel, stdio):
                return spare.pid, spare.pidfd, spare.report
            spare.discard()
        report, report_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        stdin, stdout, stderr = stdio
        descriptors = Descriptors(plan, channel, (stdin, stdout, stderr), report_writer, self.self_pidfd)
        try:
            request = Request(descriptors, clone_flags, joins, cgroup, hidden=hidden)
            return *request.start(), report
        except Refused:
            os.close(report)
            raise
        finally:
            os.close(report_writer)

    def _make_spare(self) -> None:
        """While nobody waits. Where it cannot be made, the next launch says why."""
        self.wants_spare = False
        with contextlib.suppress(OSError):
            spare = self.spare = Spare(self.self_pidfd)
            self._watch(spare.pidfd, lambda: self._lose_spare(spare))

    def _lose_spare(self, spare: Spare) -> None:
        if spare is self.spare:
            self.spare = None
            self._unwatch(spare.pidfd)
            spare.discard()

    def _spawn(self, arguments: list[str], fds: list[int]) -> None:
        name, *argv = arguments
        if len(fds) != SPAWN_FDS or max(fds) > self.descriptors - HEADROOM:
            self._say("refused", name, 0, time.monotonic_ns(), errno.EMFILE, "recvmsg", os.strerror(errno.EMFILE))
            return
        of, slash, _ = name.partition("/")
        if name in self.workers or not slash or of not in self.workers or self.workers[of].exit is not None:
            raise WireError(f"{name}: held already, or beside no worker that lives")
        try:
            pid, pidfd = helper.start(argv, fds[:3])
        except Refused as refused:
            self._say("refused", name, *refused.tokens)
            return
        held = Held(name, pid, pidfd, -1, [os.dup(fd) for fd in fds[3:]], signal.SIGTERM, HELPER_GRACE_S)
        held.is_helper = True
        self.workers[name] = held
        self._say("launched", name, pid, fds=[pidfd])
        self._watch(pidfd, lambda: self._reap(held))

    def _reap(self, worker: Held) -> None:
        end = worker.reap()
        if end is not None:  # else the event was about an earlier owner of the descriptor's number
            self._unwatch(worker.pidfd)
            for other in self.workers.values():
                if other.is_helper and other.exit is None and other.name.startswith(f"{worker.name}/"):
                    other.signal(signal.SIGKILL)  # it served this one; it has nothing to put in order
            self._say("exited", worker.name, *end)

    def _hold(self, arguments: list[str], fds: list[int]) -> None:
        worker = self.workers.get(arguments[0])
        if worker is None or worker.exit is not None:  # it died with its question on the way
            return
        if fds:
            worker.locks.append(os.dup(fds[0]))
        else:  # recvmsg drops what finds no room, and without its lock it must not live
            worker.kill()

    def _ack(self, arguments: list[str], _fds: list[int]) -> None:
        worker = self.workers[arguments[0]]
        if worker.exit is None:
            raise WireError(f"{worker.name} has not exited")
        del self.workers[worker.name]
        worker.close()

    def _state(self, _arguments: list[str], fds: list[int]) -> None:
        held, self.state_fd = self.state_fd, os.dup(fds[0])
        if held >= 0:
            os.close(held)

    def _leave(self, _arguments: list[str], _fds: list[int]) -> None:
        self.leaving = True

    VERBS = {  # noqa: RUF012  (typing's ClassVar is not for this process)
        "hello": _hello,
        "launch": _launch,
        "spawn": _spawn,
        "hold": _hold,
        "ack": _ack,
        "state": _state,
        "leave": _leave,
    }


def end_all(workers: list[Held]) -> None:
    """Stop all workers by their own stop rules at once: signal, grace, then kill, and reap each."""
    alive = [worker for worker in workers if worker.exit is None]
    begun = time.monotonic()
    for worker in alive:
        worker.signal(worker.stop_signal)
    while alive:
        now = time.monotonic() - begun
        for worker in alive:
            if now >= worker.grace_s:
                worker.kill()
        waits = [min(worker.grace_s - now, LONGEST_WAIT_S) for worker in alive if worker.grace_s > now]
        poll = select.poll()
        for worker in alive:
            poll.register(worker.pidfd, select.POLLIN)
        ended = {fd for fd, _ in poll.poll(int(min(waits, default=RETRY_S) * 1000) + 1)}
        for worker in alive:
            if worker.pidfd in ended:
                worker.reap()
        alive = [worker for worker in alive if worker.exit is None]


def main(arguments: list[str]) -> None:
    """Arguments: listening descriptor or -1, connected descriptor or -1, seconds to wait for a daemon (may be inf)."""
    listener, connection, adopt_timeout_s = arguments
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())  # children must lose none before they listen
    for number in signal.valid_signals():
        # Python catches one and ignores two, nohup and others ignore more, and so would the workloads.
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)  # the mount points made in a sandbox are for everyone in it, whatever the daemon was started with
    for fd in (int(listener), int(connection)):
        if fd >= 0:
            os.set_inheritable(fd, False)
    set_title("nsinit: keeper")
    try:
        Keeper(int(listener), int(connection), float(adopt_timeout_s)).run()
    except KernelError as error:
        sys.stderr.write(f"nsinit-keeper: {error.syscall}: {error}\n")
        raise
