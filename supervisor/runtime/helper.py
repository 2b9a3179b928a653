"""A program of the host's beside a worker, in its keeper's hands: spawned, or adopted from an earlier daemon."""

import os
from collections.abc import Callable
from contextlib import suppress

import trio

from supervisor.runtime.child import Child, send_signal
from supervisor.runtime.exit_status import ExitStatus
from supervisor.runtime.keeper_errors import KeeperGoneError, Refused
from supervisor.runtime.keeper_greeting import HeldWorker
from supervisor.runtime.keeper_link import KeeperLink

READ_BYTES = 4096
LONGEST_LINE = 4096  # more is cut into several
DRAIN_S = 1.0
END_S = 5.0
SIGKILL = 9


class Helper:
    """`web-0#17/pasta`. run() must be running for its lines and its end to be seen."""

    def __init__(self, child: Child, logs: list[int], on_line: Callable[[str], None]) -> None:
        """logs: descriptors of the reading end of what it writes to standard error; the first one is read."""
        self.child = child
        self._logs = logs
        self._on_line = on_line
        self._scope = trio.CancelScope()
        self._log_ended = trio.Event()
        self._done = trio.Event()
        os.set_blocking(logs[0], False)

    @classmethod
    async def spawn(
        cls, keeper: KeeperLink, name: str, argv: list[str], stdio: tuple[int, int], on_line: Callable[[str], None]
    ) -> "Helper":
        """Execute argv (a path first) with these as descriptors 0 and 1, the caller's still. OSError."""
        log, writer = os.pipe2(os.O_CLOEXEC)
        try:
            with trio.CancelScope(shield=True):  # the keeper answers at once, and must not start what nobody knows of
                pid, pidfd = await keeper.spawn(name, argv, (*stdio, writer), log)
        except Refused as refused:
            os.close(log)
            raise OSError(refused.number, refused.text) from None
        except KeeperGoneError:  # the sandbox dies with it, and the launch is told so
            os.close(log)
            raise ProcessLookupError(3, "the keeper is gone") from None
        finally:
            os.close(writer)
        return cls(Child(name, pid, pidfd, keeper), [log], on_line)

    @classmethod
    def adopt(cls, held: HeldWorker, keeper: KeeperLink, on_line: Callable[[str], None]) -> "Helper":
        """Take over what an earlier daemon spawned."""
        return cls(Child(held.name, held.pid, held.pidfd, keeper), held.kept, on_line)

    async def run(self, on_end: Callable[[ExitStatus | None], None]) -> None:
        """Pass its lines on; on_end is called when it ends by itself, not by end()."""
        status, ended = None, False
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read)
                    status = await self.child.exited()
                    ended = True
                    with trio.move_on_after(DRAIN_S):
                        await self._log_ended.wait()
                    nursery.cancel_scope.cancel()
        finally:
            self._done.set()
        if ended and not self._scope.cancel_called:
            on_end(status)

    async def _read(self) -> None:
        rest = b""
        while True:
            try:
                chunk = os.read(self._logs[0], READ_BYTES)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._logs[0])
                continue
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LONGEST_LINE or (rest and not chunk):
                lines.append(rest)
                rest = b""
            for line in lines:
                self._on_line(line.decode(errors="backslashreplace"))
            if not chunk:
                self._log_ended.set()
                return

    async def log_ended(self) -> None:
        """Wait until it has closed its standard error."""
        await self._log_ended.wait()

    async def end(self) -> None:
        """Kill it, wait for its end and forget it. Takes END_S at most."""
        self._scope.cancel()
        with trio.CancelScope(shield=True):
            await self._done.wait()
            send_signal(self.child.pidfd, SIGKILL)
            with trio.move_on_after(END_S):
                await self.child.exited()
                with suppress(KeeperGoneError):
                    await self.child.keeper.acknowledge(self.child.name)
            self.child.close()
            for fd in self._logs:
                os.close(fd)
