"""What a daemon may tell the keeper, and what comes of it.

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

import errno
import os
import resource
import signal
import time

from supervisor import __version__
from supervisor.kernel.clone import CLONE_NEWPID
from supervisor.nsinit import helper
from supervisor.nsinit.held import Held
from supervisor.nsinit.launch import Refused
from supervisor.nsinit.orphan import Orphan
from supervisor.nsinit.spare import FLAGS as SPARE_FLAGS
from supervisor.wire import PROTOCOL, WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor.nsinit.keeper import Keeper

HEADROOM = 64  # descriptors left for what cannot be refused: the next daemon's connection, and its messages
SPAWN_FDS = 5  # descriptors 0-2 of a program beside a worker, two to hold
HELPER_GRACE_S = 1.0


def _room() -> int:
    """The largest number of a descriptor that a launch may bring. The limit may have been changed by now."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - HEADROOM


def _hello(keeper: Keeper, arguments: list[str], _fds: list[int]) -> None:
    if int(arguments[0]) != PROTOCOL:
        keeper.daemon.say("protocol", PROTOCOL)
        return
    keeper.leaving = False
    keeper.daemon.say(
        "keeper",
        PROTOCOL,
        os.getpid(),
        len(keeper.workers),
        __version__,
        fds=[keeper.state_fd] if keeper.state_fd >= 0 else [],
    )
    for worker in keeper.workers.values():
        end = worker.exit or (0, 0, 0, 0)
        state = "EXITED" if worker.exit else "RUNNING"
        report = worker.told_report
        fds = [worker.pidfd, *report, *worker.kept]
        keeper.daemon.say("held", worker.name, worker.pid, state, *end, len(report), fds=fds)
    keeper.daemon.say("end")


def _launch(keeper: Keeper, arguments: list[str], fds: list[int]) -> None:
    name, *numbers, roles, kinds = arguments[:6]
    options = arguments[6:]
    clone_flags, stop_signal, grace_ms = map(int, numbers)
    if len(fds) != len(roles.split()) or max(fds) > _room():  # recvmsg drops what finds no room
        keeper.daemon.say("refused", name, 0, time.monotonic_ns(), errno.EMFILE, "recvmsg", os.strerror(errno.EMFILE))
        return
    given: dict[str, list[int]] = {}
    for role, fd in zip(roles.split(), fds, strict=True):
        given.setdefault(role, []).append(fd)
    joins = list(zip(given.get("join", []), map(int, kinds.split()), strict=True))
    # All is looked at before there is a child that nobody would know of.
    if name in keeper.workers or clone_flags & ~SPARE_FLAGS or len(given["stdio"]) != 3:
        raise WireError(f"{name}: held already, or flags or descriptors that are none")
    if not 0 < stop_signal <= signal.SIGRTMAX or grace_ms < 0:
        raise WireError(f"{name}: no rule to stop by: {stop_signal} {grace_ms}")
    try:
        pid, pidfd, report = keeper.forks.fork(clone_flags, joins, given, hidden="hidden" in options)
    except Refused as refused:
        keeper.daemon.say("refused", name, *refused.tokens)
        return
    kept = [os.dup(fd) for fd in given.get("keep", [])]
    worker = Held(name, pid, pidfd, report, kept, stop_signal, grace_ms / 1000)
    worker.owns_pid_namespace = bool(clone_flags & CLONE_NEWPID)
    worker.is_released = "released" in options
    keeper.workers[name] = worker
    keeper.daemon.say("launched", name, pid, fds=[pidfd, *worker.told_report])
    keeper.watch.add(pidfd, lambda: keeper.reap(worker))
    keeper.forks.want_spare()


def _adopt(keeper: Keeper, arguments: list[str], fds: list[int]) -> None:
    name, *numbers, roles = arguments
    pid, stop_signal, grace_ms = map(int, numbers)
    given = list(zip(roles.split(), fds, strict=False))
    if len(fds) != len(roles.split()) or max(fds) > _room():
        keeper.daemon.say("refused", name, 0, time.monotonic_ns(), errno.EMFILE, "recvmsg", os.strerror(errno.EMFILE))
        return
    if name in keeper.workers:
        raise WireError(f"{name}: held already")
    (pidfd,) = (os.dup(fd) for role, fd in given if role == "pidfd")
    report = [os.dup(fd) for role, fd in given if role == "report"]
    kept = [os.dup(fd) for role, fd in given if role == "keep"]
    worker = Orphan(name, pid, pidfd, report[0] if report else -1, kept, stop_signal, grace_ms / 1000)
    keeper.workers[name] = worker
    keeper.daemon.say("adopted", name)
    keeper.watch.add(pidfd, lambda: keeper.reap(worker), worker.events)


def _forget(keeper: Keeper, arguments: list[str], _fds: list[int]) -> None:
    worker = keeper.workers.pop(arguments[0])
    if worker.exit is None:
        keeper.watch.remove(worker.pidfd)
    worker.close()


def _rule(keeper: Keeper, arguments: list[str], _fds: list[int]) -> None:
    worker, stop_signal, grace_ms = keeper.workers.get(arguments[0]), int(arguments[1]), int(arguments[2])
    if not 0 < stop_signal <= signal.SIGRTMAX or grace_ms < 0:
        raise WireError(f"{arguments[0]}: no rule to stop by: {stop_signal} {grace_ms}")
    if worker is not None:  # else it has ended, and its `exited` was taken meanwhile
        worker.stop_signal, worker.grace_s = stop_signal, grace_ms / 1000


def _timeout(keeper: Keeper, arguments: list[str], _fds: list[int]) -> None:
    keeper.adopt_timeout_s = float(arguments[0])


def _listen(keeper: Keeper, _arguments: list[str], fds: list[int]) -> None:
    keeper.daemon.listen(os.dup(fds[0]))


def _spawn(keeper: Keeper, arguments: list[str], fds: list[int]) -> None:
    name, *argv = arguments
    if len(fds) != SPAWN_FDS or max(fds) > _room():
        keeper.daemon.say("refused", name, 0, time.monotonic_ns(), errno.EMFILE, "recvmsg", os.strerror(errno.EMFILE))
        return
    of, slash, _ = name.partition("/")
    if name in keeper.workers or not slash or of not in keeper.workers or keeper.workers[of].exit is not None:
        raise WireError(f"{name}: held already, or beside no worker that lives")
    try:
        pid, pidfd = helper.start(argv, fds[:3])
    except Refused as refused:
        keeper.daemon.say("refused", name, *refused.tokens)
        return
    held = Held(name, pid, pidfd, -1, [os.dup(fd) for fd in fds[3:]], signal.SIGTERM, HELPER_GRACE_S)
    held.is_helper = True
    keeper.workers[name] = held
    keeper.daemon.say("launched", name, pid, fds=[pidfd])
    keeper.watch.add(pidfd, lambda: keeper.reap(held))


def _hold(keeper: Keeper, arguments: list[str], fds: list[int]) -> None:
    worker = keeper.workers.get(arguments[0])
    if worker is None or worker.exit is not None:  # it died with its question on the way
        return
    if fds:
        worker.locks.append(os.dup(fds[0]))
    else:  # recvmsg drops what finds no room, and without its lock it must not live
        worker.kill()


def _ack(keeper: Keeper, arguments: list[str], _fds: list[int]) -> None:
    worker = keeper.workers[arguments[0]]
    if worker.exit is None:
        raise WireError(f"{worker.name} has not exited")
    del keeper.workers[worker.name]
    worker.close()


def _state(keeper: Keeper, _arguments: list[str], fds: list[int]) -> None:
    held, keeper.state_fd = keeper.state_fd, os.dup(fds[0])
    if held >= 0:
        os.close(held)


def _leave(keeper: Keeper, _arguments: list[str], _fds: list[int]) -> None:
    keeper.leaving = True


VERBS = {
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
