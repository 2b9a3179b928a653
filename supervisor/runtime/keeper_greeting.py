"""The first words with a keeper: who it is, and what it holds from an earlier daemon."""

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from supervisor.runtime.exit_status import ExitStatus
from supervisor.runtime.keeper_errors import AdoptionError, KeeperBusyError, KeeperGoneError, ProtocolError
from supervisor.runtime.keeper_socket import KeeperSocket, close_all
from supervisor.wire import PROTOCOL, pack

if TYPE_CHECKING:
    from supervisor.runtime.keeper_link import KeeperLink

SPOKEN = (PROTOCOL, 2)  # protocols of keepers that workers are taken over from; the newest first
HELD_FDS = 3  # at least: a pidfd, the reading ends of standard output and error, a socket for sd_notify(3) perhaps


class HeldWorker(msgspec.Struct):
    """A worker, or a program beside one, that a keeper has from an earlier daemon. The descriptors are ours now.

    report: where PID 1 writes the workload's status, of one that outlives its keeper; else -1.
    """

    name: str
    pid: int
    exit: ExitStatus | None
    pidfd: int
    kept: list[int]
    report: int = -1
    keeper: "KeeperLink | None" = None  # that has it


class Greeting(msgspec.Struct):
    """A keeper's answer. state_fd: the state memfd, or -1. version: of its code; "" where it tells none."""

    protocol: int
    pid: int
    version: str
    workers: list[HeldWorker]
    state_fd: int


async def greet(connection: KeeperSocket) -> Greeting:
    """Say hello, in the newest protocol that both speak. KeeperGoneError, AdoptionError, ProtocolError."""
    taken: list[int] = []
    try:
        return await _greet(connection, taken)
    except BaseException:
        close_all(taken)
        raise


async def _hello(connection: KeeperSocket, protocol: int) -> tuple[list[str], list[int]]:
    with suppress(KeeperGoneError):  # why, it has said before it left
        await connection.send(pack("hello", protocol), [])
    tokens, fds = await connection.receive()
    while tokens[0] == "exited":  # before it had read our hello; `held` will tell it again
        tokens, fds = await connection.receive()
    return tokens, fds


async def _greet(connection: KeeperSocket, taken: list[int]) -> Greeting:
    tokens, fds = await _hello(connection, PROTOCOL)
    if tokens[0] == "protocol" and tokens[1] in map(str, SPOKEN[1:]):
        tokens, fds = await _hello(connection, int(tokens[1]))
    if tokens[0] == "busy":
        raise KeeperBusyError(f"cannot start: the keeper (pid {tokens[1]}) serves another daemon; stop that one first")
    if tokens[0] != "keeper":
        raise ProtocolError(f"it speaks another protocol: {' '.join(tokens)}")
    protocol, keeper_pid = int(tokens[1]), int(tokens[2])
    version = tokens[4] if protocol > 2 else ""
    taken += fds
    state_fd = fds[0] if fds else -1
    workers: list[HeldWorker] = []
    while True:
        tokens, fds = await connection.receive()
        if tokens[0] == "end":
            return Greeting(protocol, keeper_pid, version, workers, state_fd)
        taken += fds
        if len(fds) < HELD_FDS or connection.is_cut:  # recvmsg drops what finds no room
            raise AdoptionError(
                f"cannot take over the workers of keeper {keeper_pid}: no room for their descriptors; "
                "raise RLIMIT_NOFILE (LimitNOFILE=, ulimit -n)"
            )
        _, name, pid, state, *numbers = tokens
        ended = ExitStatus.from_wait(*map(int, numbers[:4])) if state == "EXITED" else None
        reports = protocol > 2 and int(numbers[4])
        report = fds.pop(1) if reports else -1
        workers.append(HeldWorker(name, int(pid), ended, fds[0], fds[1:], report))
