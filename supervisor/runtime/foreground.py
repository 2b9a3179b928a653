"""One sandbox in the foreground, with a keeper of its own that ends it should this process die."""

import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping

import msgspec
import trio

from supervisor.runtime.keeper_link import ExitStatus, KeeperLink
from supervisor.runtime.keeper_process import start_keeper
from supervisor.runtime.launcher import Child, LaunchOrder, launch, send_signal
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


async def run_foreground(
    worker: Worker,
    plan: Plan,
    facts: HostFacts,
    environ: Mapping[str, str],
    terminal: Terminal | None,
    on_phase: Callable[[PhaseRecord], None],
) -> Outcome:
    """Launch, pass signals on and wait. KeeperGoneError where the keeper does not live."""
    with trio.open_signal_receiver(*FORWARDED) as signals:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            keeper_process = start_keeper(environ, [], connection=theirs.fileno(), adopt_timeout_s=0.0)
        link = KeeperLink(ours)
        try:
            async with trio.open_nursery() as nursery:
                await link.greet()
                nursery.start_soon(link.run)
                children: list[Child] = []
                nursery.start_soon(_forward, signals, children, terminal)
                order = LaunchOrder(
                    plan=plan,
                    incarnation=1,
                    stop=(signal_number(worker.stop.signal), worker.stop.grace_s),
                    stdio=(0, 1, 2),
                    keep=[],
                    timeout_s=worker.setup_timeout_s,
                    on_phase=on_phase,
                    on_child=children.append,
                    on_terminal=terminal.take if terminal is not None else None,
                )
                record, child = await launch(order, link, facts, _no_workers)
                if terminal is not None and terminal.master >= 0:
                    nursery.start_soon(terminal.copy_in)
                    nursery.start_soon(terminal.copy_out)
                status = await child.exited() if child is not None else None
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
        return Outcome(record, status)


async def _forward(signals: AsyncIterator[int], children: list[Child], terminal: Terminal | None) -> None:
    async for number in signals:
        if number == signal.SIGWINCH and terminal is not None:
            terminal.resize()
        elif children:
            send_signal(children[0].pidfd, number)
        elif number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            os._exit(128 + number)  # nothing was forked: the keeper finds its connection closed and leaves


def _no_workers(name: str) -> tuple[int, int]:
    raise ProcessLookupError(3, f"worker:{name} needs a daemon; use pid:N or path:FILE")
