"""One sandbox in the foreground, with a keeper of its own that ends it should this process die."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial

import msgspec
import trio
from msgspec.structs import replace

from supervisor.kernel.process import PR_SET_PDEATHSIG, prctl
from supervisor.runtime.bridge import remove_unused
from supervisor.runtime.cgroup import Figures
from supervisor.runtime.cgroup_tree import NO_TREE, SCOPE, prepare
from supervisor.runtime.child import Child, send_signal
from supervisor.runtime.exit_status import ExitStatus
from supervisor.runtime.keeper_errors import KeeperGoneError
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.keeper_process import scope_command, start_keeper
from supervisor.runtime.kill import kill_tree
from supervisor.runtime.launch_order import LaunchOrder
from supervisor.runtime.launcher import launch
from supervisor.runtime.network import Network
from supervisor.runtime.secrets import answer_secrets
from supervisor.runtime.setup_record import SetupRecord
from supervisor.runtime.terminal import Terminal
from supervisor.sandbox.plan import Plan
from supervisor.spec.facts import HostFacts
from supervisor.spec.forms import signal_number
from supervisor.spec.model import Worker
from supervisor.spec.records import PhaseRecord

FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
    signal.SIGCONT,
)


class Outcome(msgspec.Struct):
    """What became of it: the record of the set-up; the status, where the workload was executed and its end is known."""

    record: SetupRecord
    status: ExitStatus | None
    figures: Figures = Figures()  # of its cgroup, where it had one
    timed_out: bool = False


class Extras(msgspec.Struct, frozen=True):
    """What a worker of the daemon's has not."""

    index: int | None = None  # 0: as the first instance of a worker, else nothing is replaced
    pass_fds: tuple[int, ...] = ()  # handed on under their numbers
    time_limit_s: float | None = None
    status_fd: int | None = None  # told of the first process and of the end, a JSON object a line
    dies_with_parent: bool = False


async def run_foreground(
    worker: Worker,
    plan: Plan,
    recompile: Callable[[HostFacts], Plan],
    facts: HostFacts,
    environ: Mapping[str, str],
    terminal: Terminal | None,
    on_phase: Callable[[PhaseRecord], None],
    extras: Extras = Extras(),  # noqa: B008  (it is frozen)
) -> Outcome:
    """Launch, pass signals on and wait. KeeperGoneError where the keeper does not live.

    recompile: the plan once more, by what is known of cgroups then; PlanError.
    """
    if extras.dies_with_parent:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with trio.open_signal_receiver(*FORWARDED) as signals:
        keeper_process, link = await _start_keeper(environ, in_scope=plan.ahead > 0)
        tree, figures, timer = NO_TREE, Figures(), _Timer(worker, extras.time_limit_s)
        try:
            async with trio.open_nursery() as nursery:
                if plan.ahead:  # limits of a cgroup are asked for: now there is a place to look at
                    tree = prepare(link.pid)
                    plan = recompile(replace(facts, cgroups=tree.facts))
                cgroup = tree.cgroup("run#1")
                nursery.start_soon(link.run)
                children: list[Child] = []
                early: list[int] = []  # signals before the keeper's answer: the command may run already
                nursery.start_soon(_forward, signals, children, early, terminal)
                network = Network(worker, 0, facts, nursery, _Listener(children))
                order = LaunchOrder(
                    plan=plan,
                    cgroup=cgroup,
                    incarnation=1,
                    stop=(signal_number(worker.stop.signal), worker.stop.grace_s),
                    stdio=(0, 1, 2),
                    keep=[],
                    timeout_s=worker.setup_timeout_s,
                    on_phase=on_phase,
                    on_child=partial(_is_born, children, early, extras),
                    on_terminal=terminal.take if terminal is not None else None,
                    needs={
                        "secret": answer_secrets(worker, extras.index, environ),
                        "network": network.attach,
                        "fd": _hand_on,
                    },
                )
                record, child = await launch(order, link, facts, _no_workers)
                if terminal is not None and terminal.master >= 0:
                    nursery.start_soon(terminal.copy_in)
                    nursery.start_soon(terminal.copy_out)
                if child is not None and record.failure is None:
                    nursery.start_soon(timer.run, child)
                status = await child.exited() if child is not None else None
                _tell(extras, status)
                figures = await cgroup.finish() if cgroup is not None else figures
                await network.end()
                await remove_unused({place.bridge for place in facts.ports.values()}, _say_failure)
                if terminal is not None:
                    await terminal.drained()
                if child is not None:
                    await link.acknowledge(child.name)
                await link.dismiss()
                if child is not None:
                    child.close()  # last: a signal may be forwarded to it until then
                nursery.cancel_scope.cancel()
        finally:
            link.close()
            keeper_process.wait()
            tree.remove()
        return Outcome(record, status, figures, timer.over)


async def _start_keeper(environ: Mapping[str, str], *, in_scope: bool) -> "tuple[subprocess.Popen[bytes], KeeperLink]":
    """One that answers; without a scope where there can be none. KeeperGoneError."""
    wrapper = scope_command(environ, os.geteuid(), f"{SCOPE}run-{os.getpid()}.scope") if in_scope else []
    while True:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = start_keeper(environ, wrapper, connection=theirs.fileno(), adopt_timeout_s=0.0)
        link = KeeperLink(ours)
        try:
            await link.greet()
        except BaseException as error:
            link.close()
            process.wait()
            if not wrapper or not isinstance(error, KeeperGoneError):
                raise
            wrapper = []
        else:
            return process, link


def _is_born(children: list[Child], early: list[int], extras: Extras, child: Child) -> None:
    children.append(child)
    for number in early:
        send_signal(child.pidfd, number)
    _write(extras, {"pid": child.pid})


def _tell(extras: Extras, status: ExitStatus | None) -> None:
    _write(extras, {"code": status and status.code, "signal": status and status.signal})


def _write(extras: Extras, record: dict[str, object]) -> None:
    if extras.status_fd is not None:
        with suppress(OSError):  # nobody listens any more
            os.write(extras.status_fd, msgspec.json.encode(record) + b"\n")


async def _hand_on(_child: Child, number: str, _fds: list[int]) -> int:
    """One of our own descriptors, for the sandbox."""
    return os.dup(int(number))


class _Timer:
    """Stops the workload in time, as a daemon stops a worker."""

    def __init__(self, worker: Worker, limit_s: float | None) -> None:
        self._worker = worker
        self._limit_s = limit_s
        self.over = False

    async def run(self, child: Child) -> None:
        if self._limit_s is None:
            return
        await trio.sleep(self._limit_s)
        self.over = send_signal(child.pidfd, signal_number(self._worker.stop.signal))
        await trio.sleep(self._worker.stop.grace_s)
        kill_tree(child, own_pid_namespace=self._worker.namespaces.pid is True)


class _Listener:
    """Says on standard error what becomes of the network; without it the command is killed, as under a daemon."""

    def __init__(self, children: list[Child]) -> None:
        self._children = children

    def network_said(self, line: str, *, up: bool) -> None:
        if up:
            print(f"network: {line}", file=sys.stderr)

    def network_failed(self, why: str) -> None:
        if send_signal(self._children[0].pidfd, 0):
            print(f"network: {why}; the command is killed", file=sys.stderr)
            kill_tree(self._children[0], own_pid_namespace=False)


def _say_failure(event: str, _level: str, **fields: object) -> None:
    print(f"{event}: {fields['error']}", file=sys.stderr)


async def _forward(
    signals: AsyncIterator[int], children: list[Child], early: list[int], terminal: Terminal | None
) -> None:
    async for number in signals:
        if number == signal.SIGWINCH and terminal is not None:
            terminal.resize()
        elif children:
            send_signal(children[0].pidfd, number)
        elif number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            os._exit(128 + number)  # nothing was forked: the keeper finds its connection closed and leaves
        else:
            early.append(number)


def _no_workers(name: str) -> tuple[int, int]:
    raise ProcessLookupError(3, f"worker:{name} needs a daemon; use pid:N or path:FILE")
