"""The first words with a keeper: who it is, and what it holds from an earlier daemon."""

from contextlib import suppress

import msgspec

from supervisor.runtime.exit_status import ExitStatus
from supervisor.runtime.keeper_errors import AdoptionError, KeeperBusyError, KeeperGoneError
from supervisor.runtime.keeper_socket import KeeperSocket, close_all
from supervisor.wire import PROTOCOL, pack

HELD_FDS = 3  # at least: a pidfd, the reading ends of standard output and error, a socket for sd_notify(3) perhaps


class HeldWorker(msgspec.Struct):
    """A worker, or a program beside one, that a keeper has from an earlier daemon. The descriptors are ours now."""

    name: str
    pid: int
    exit: ExitStatus | None
    pidfd: int
    kept: list[int]


async def greet(connection: KeeperSocket) -> tuple[int, list[HeldWorker], int]:
    """Say hello: its pid, the workers it holds and the state memfd (or -1). KeeperGoneError, AdoptionError."""
    taken: list[int] = []
    try:
        return await _greet(connection, taken)
    except BaseException:
        close_all(taken)
        raise


async def _greet(connection: KeeperSocket, taken: list[int]) -> tuple[int, list[HeldWorker], int]:
    with suppress(KeeperGoneError):  # why, it has said before it left
        await connection.send(pack("hello", PROTOCOL), [])
    tokens, fds = await connection.receive()
    while tokens[0] == "exited":  # before it had read our hello; `held` will tell it again
        tokens, fds = await connection.receive()
    if tokens[0] == "busy":
        raise KeeperBusyError(f"cannot start: the keeper (pid {tokens[1]}) serves another daemon; stop that one first")
    if tokens[0] != "keeper":
        raise KeeperGoneError(f"it speaks another protocol: {' '.join(tokens)}")
    keeper_pid = int(tokens[2])
    taken += fds
    state_fd = fds[0] if fds else -1
    workers: list[HeldWorker] = []
    while True:
        tokens, fds = await connection.receive()
        if tokens[0] == "end":
            return keeper_pid, workers, state_fd
        taken += fds
        if len(fds) < HELD_FDS or connection.is_cut:  # recvmsg drops what finds no room
            raise AdoptionError(
                f"cannot take over the workers of keeper {keeper_pid}: no room for their descriptors; "
                "raise RLIMIT_NOFILE (LimitNOFILE=, ulimit -n)"
            )
        _, name, pid, state, *numbers = tokens
        ended = ExitStatus.from_wait(*map(int, numbers)) if state == "EXITED" else None
        workers.append(HeldWorker(name, int(pid), ended, fds[0], fds[1:]))
