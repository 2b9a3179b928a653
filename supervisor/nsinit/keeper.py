"""The keeper: forks sandboxes, holds their descriptors, reaps them, and outlives the daemon.

Messages from the daemon (descriptors in brackets):
    hello PROTOCOL                                   answered by `keeper`, one `held` per worker, then `end`
    launch NAME FLAGS SIGNAL GRACE_MS ROLES JOINS OPTION...   [one per role]; answered by `launched` or `refused`;
                                                     options: hidden, released (it will outlive this keeper)
    adopt NAME PID SIGNAL GRACE_MS ROLES             [one per role: pidfd, report, keep]; a worker that outlived its
                                                     keeper; answered by `adopted` or `refused`
    forget NAME                                      it was adopted for nothing: it has ended
    rule NAME SIGNAL GRACE_MS                        stop it by this one from now on
    timeout SECONDS                                  how long to wait for the next daemon
    listen                                           [listening socket] await daemons there too
    hold NAME                                        [one] a lock: hold it until the worker is reaped
    spawn NAME PATH ARGUMENT...                      [stdin, stdout, stderr, kept, kept]; a program beside the worker
                                                     whose name is first in NAME (web-0#17/pasta); answered as a launch
    ack NAME                                         the exit record was taken: forget the worker
    state                                            [memfd] hold this for the next daemon
    leave                                            go, as soon as no worker is left
To the daemon:
    keeper PROTOCOL PID COUNT VERSION                [state memfd, if one is held]
    held NAME PID RUNNING|EXITED STATUS USER SYSTEM RSS REPORTS   [pidfd, report if REPORTS is 1, kept...]
    end
    launched NAME PID                                [pidfd; of a released one the report's reading end]
    adopted NAME
    refused NAME INDEX START ERRNO SYSCALL MESSAGE
    exited NAME STATUS USER_US SYSTEM_US MAX_RSS_KIB (STATUS -1: nobody knows)
    busy PID                                         another daemon is connected
    protocol PROTOCOL                                not ours
"""

from __future__ import annotations

import _socket
import errno
import gc
import os
import resource
import signal
import time

from supervisor import __version__
from supervisor.kernel.clone import CLONE_NEWPID
from supervisor.nsinit import helper
from supervisor.nsinit.end_all import LONGEST_WAIT_S, end_all
from supervisor.nsinit.forks import Forks
from supervisor.nsinit.held import Held
from supervisor.nsinit.launch import Refused
from supervisor.nsinit.link import Link
from supervisor.nsinit.orphan import Orphan
from supervisor.nsinit.reception import Reception
from supervisor.nsinit.spare import FLAGS as SPARE_FLAGS
from supervisor.nsinit.strays import end_strays
from supervisor.nsinit.watch import Watch
from supervisor.wire import PROTOCOL, WireError

HEADROOM = 64  # descriptors left for what cannot be refused: the next daemon's connection, and its messages
ERROR_LENGTH = 500
SPAWN_FDS = 5  # descriptors 0-2 of a program beside a worker, two to hold
HELPER_GRACE_S = 1.0
STRAYS_AGAIN_MS = 1000
SPARE_DELAY_MS = 5  # of quiet after a launch, before the next process is cloned ahead


def _room() -> int:
    """The largest number of a descriptor that a launch may bring. The limit may have been changed by now."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - HEADROOM


class Keeper:
    """All of its state. One thread, one poll."""

    def __init__(self, listeners: list[int], connection: int, adopt_timeout_s: float) -> None:
        """listeners: listening SOCK_SEQPACKETs; connection: an open one, or -1; the timeout may be inf."""
        self.watch = Watch()
        self.daemon = Reception(self.watch, self._obey)
        self.forks = Forks(self.watch, ahead=bool(listeners))  # a keeper of one launch needs no spare
        self.workers: dict[str, Held] = {}
        self.state_fd = -1
        self.leaving = False
        self.strays = 0  # that did not die yet
        self.adopt_timeout_s = adopt_timeout_s
        for listener in listeners:
            self.daemon.listen(listener)
        if connection >= 0:
            self.daemon.connect(Link(_socket.socket(fileno=connection)))

    def run(self) -> None:
        """Serve until told to leave, or until no daemon came back in time."""
        gc.collect()
        gc.freeze()  # what lives now lives for ever: collections need not touch it, nor copy pages shared with children
        while not (self.leaving and not self.workers):
            timeout_ms = None
            if self.daemon.link is None:
                left_s = self.daemon.alone_since + self.adopt_timeout_s - time.monotonic()
                if left_s <= 0:
                    end_all([worker for worker in self.workers.values() if not worker.is_helper])
                    end_all([worker for worker in self.workers.values() if worker.is_helper])
                    self._end_strays()
                    break
                timeout_ms = int(min(left_s, LONGEST_WAIT_S) * 1000) + 1
            elif self.forks.wants_spare:
                timeout_ms = SPARE_DELAY_MS
            elif self.strays:
                timeout_ms = STRAYS_AGAIN_MS
            if not self.watch.turn(timeout_ms):
                if self.forks.wants_spare:
                    self.forks.make_spare()
                elif self.strays:
                    self._end_strays()
        self.forks.close()

    def _obey(self, tokens: list[str], fds: list[int]) -> None:
        verb, *arguments = tokens
        try:
            self.VERBS[verb](self, arguments, fds)
        except Exception as error:  # noqa: BLE001  (whatever a message holds: workers must not die of it)
            self.daemon.say("error", f"{verb[:40]}: {type(error).__name__}: {error}"[:ERROR_LENGTH])
        finally:
            for fd in fds:
                os.close(fd)

    def _hello(self, arguments: list[str], _fds: list[int]) -> None:
        if int(arguments[0]) != PROTOCOL:
            self.daemon.say("protocol", PROTOCOL)
            return
        self.leaving = False
        self.daemon.say(
            "keeper",
            PROTOCOL,
            os.getpid(),
            len(self.workers),
            __version__,
            fds=[self.state_fd] if self.state_fd >= 0 else [],
        )
        for worker in self.workers.values():
            end = worker.exit or (0, 0, 0, 0)
            state = "EXITED" if worker.exit else "RUNNING"
            report = worker.told_report
            fds = [worker.pidfd, *report, *worker.kept]
            self.daemon.say("held", worker.name, worker.pid, state, *end, len(report), fds=fds)
        self.daemon.say("end")

    def _launch(self, arguments: list[str], fds: list[int]) -> None:
        name, *numbers, roles, kinds = arguments[:6]
        options = arguments[6:]
        clone_flags, stop_signal, grace_ms = map(int, numbers)
        if len(fds) != len(roles.split()) or max(fds) > _room():  # recvmsg drops what finds no room
            self.daemon.say("refused", name, 0, time.monotonic_ns(), errno.EMFILE, "recvmsg", os.strerror(errno.EMFILE))
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
            pid, pidfd, report = self.forks.fork(clone_flags, joins, given, hidden="hidden" in options)
        except Refused as refused:
            self.daemon.say("refused", name, *refused.tokens)
            return
        kept = [os.dup(fd) for fd in given.get("keep", [])]
        worker = Held(name, pid, pidfd, report, kept, stop_signal, grace_ms / 1000)
        worker.owns_pid_namespace = bool(clone_flags & CLONE_NEWPID)
        worker.is_released = "released" in options
        self.workers[name] = worker
        self.daemon.say("launched", name, pid, fds=[pidfd, *worker.told_report])
        self.watch.add(pidfd, lambda: self._reap(worker))
        self.forks.want_spare()

    def _adopt(self, arguments: list[str], fds: list[int]) -> None:
        name, *numbers, roles = arguments
        pid, stop_signal, grace_ms = map(int, numbers)
        given = list(zip(roles.split(), fds, strict=False))
        if len(fds) != len(roles.split()) or max(fds) > _room():
            self.daemon.say("refused", name, 0, time.monotonic_ns(), errno.EMFILE, "recvmsg", os.strerror(errno.EMFILE))
            return
        if name in self.workers:
            raise WireError(f"{name}: held already")
        (pidfd,) = (os.dup(fd) for role, fd in given if role == "pidfd")
        report = [os.dup(fd) for role, fd in given if role == "report"]
        kept = [os.dup(fd) for role, fd in given if role == "keep"]
        worker = Orphan(name, pid, pidfd, report[0] if report else -1, kept, stop_signal, grace_ms / 1000)
        self.workers[name] = worker
        self.daemon.say("adopted", name)
        self.watch.add(pidfd, lambda: self._reap(worker), worker.events)

    def _forget(self, arguments: list[str], _fds: list[int]) -> None:
        worker = self.workers.pop(arguments[0])
        if worker.exit is None:
            self.watch.remove(worker.pidfd)
        worker.close()

    def _rule(self, arguments: list[str], _fds: list[int]) -> None:
        worker, stop_signal, grace_ms = self.workers.get(arguments[0]), int(arguments[1]), int(arguments[2])
        if not 0 < stop_signal <= signal.SIGRTMAX or grace_ms < 0:
            raise WireError(f"{arguments[0]}: no rule to stop by: {stop_signal} {grace_ms}")
        if worker is not None:  # else it has ended, and its `exited` was taken meanwhile
            worker.stop_signal, worker.grace_s = stop_signal, grace_ms / 1000

    def _timeout(self, arguments: list[str], _fds: list[int]) -> None:
        self.adopt_timeout_s = float(arguments[0])

    def _listen(self, _arguments: list[str], fds: list[int]) -> None:
        self.daemon.listen(os.dup(fds[0]))

    def _spawn(self, arguments: list[str], fds: list[int]) -> None:
        name, *argv = arguments
        if len(fds) != SPAWN_FDS or max(fds) > _room():
            self.daemon.say("refused", name, 0, time.monotonic_ns(), errno.EMFILE, "recvmsg", os.strerror(errno.EMFILE))
            return
        of, slash, _ = name.partition("/")
        if name in self.workers or not slash or of not in self.workers or self.workers[of].exit is not None:
            raise WireError(f"{name}: held already, or beside no worker that lives")
        try:
            pid, pidfd = helper.start(argv, fds[:3])
        except Refused as refused:
            self.daemon.say("refused", name, *refused.tokens)
            return
        held = Held(name, pid, pidfd, -1, [os.dup(fd) for fd in fds[3:]], signal.SIGTERM, HELPER_GRACE_S)
        held.is_helper = True
        self.workers[name] = held
        self.daemon.say("launched", name, pid, fds=[pidfd])
        self.watch.add(pidfd, lambda: self._reap(held))

    def _reap(self, worker: Held) -> None:
        end = worker.reap()
        if end is not None:  # else the event was about an earlier owner of the descriptor's number
            self.watch.remove(worker.pidfd)
            if not worker.owns_pid_namespace:
                self._end_strays()
            for other in self.workers.values():
                if other.is_helper and other.exit is None and other.name.startswith(f"{worker.name}/"):
                    other.signal(signal.SIGKILL)  # it served this one; it has nothing to put in order
            self.daemon.say("exited", worker.name, *end)

    def _end_strays(self) -> None:
        """Before an exit is told: then the whole tree is gone. What is in the kernel's hands is tried again later."""
        self.strays = end_strays(
            {self.forks.spare_pid, *(one.pid for one in self.workers.values() if one.exit is None)}
        )

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
        "adopt": _adopt,
        "forget": _forget,
        "rule": _rule,
        "timeout": _timeout,
        "listen": _listen,
    }
