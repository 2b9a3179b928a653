"""Starting a keeper: its sockets, its record, its scope where there is a service manager, its first words."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress

import trio

from supervisor.runtime import keeper_process, keeper_records
from supervisor.runtime.keeper_errors import KeeperGoneError
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.keeper_records import Record
from supervisor.telemetry.bus import EventBus

STARTS = 3  # in a row, before a launch is told that no keeper will live
GREET_TIMEOUT_S = 15.0


class KeeperStart:
    """Of one daemon's keepers, one after the other. The last one that was started is our child."""

    def __init__(self, path: str, environ: Mapping[str, str], bus: EventBus, records: str) -> None:
        """path: of the keeper's socket. records: the directory of theirs; "" for none."""
        self._path = path
        self._environ = environ
        self._bus = bus
        self._records = records
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, adopt_timeout_s: float, put_aside: Callable[[], None]) -> tuple[KeeperLink, Record | None]:
        """Start one that answers: in a scope, else without. KeeperGoneError where none will live.

        put_aside: called before its socket takes the place of another's.
        """
        failure = ""
        for _ in range(STARTS):
            unit = keeper_process.scope_unit()
            wrapper = keeper_process.scope_command(self._environ, os.geteuid(), unit)
            try:
                link, record = await self._start_with(wrapper, adopt_timeout_s, put_aside)
            except KeeperGoneError as error:
                failure = str(error)
                if not wrapper:
                    continue
                self._bus.publish("keeper.scope_failed", "warning", unit=unit, error=failure)
                try:
                    link, record = await self._start_with([], adopt_timeout_s, put_aside)
                except KeeperGoneError as again:
                    failure = str(again)
                    continue
            self._bus.publish("keeper.started", pid=link.pid, scope=unit if wrapper else "")
            return link, record
        raise KeeperGoneError(f"no keeper can be started: {failure}")

    async def _start_with(
        self, wrapper: list[str], adopt_timeout_s: float, put_aside: Callable[[], None]
    ) -> tuple[KeeperLink, Record | None]:
        self.reap(0)
        record: Record | None = None
        try:
            with ExitStack() as opened:
                put_aside()
                listening = [opened.enter_context(keeper_process.listen(self._path))]
                record, lock = self._make_record(opened)
                if record is not None:
                    with suppress(OSError):  # a file system without sockets: the other path is all there is
                        listening.append(opened.enter_context(record.listen()))
                self._process = keeper_process.start_keeper(
                    self._environ,
                    wrapper,
                    listeners=[one.fileno() for one in listening],
                    adopt_timeout_s=adopt_timeout_s,
                    lock=lock,
                )
                if record is not None:
                    record.write(self._process.pid, "")
                connection = keeper_process.connect(self._path)
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
            how = self.reap(0)
            self._kill(record)
            raise KeeperGoneError(f"it died at once ({how}); its words are on standard error") from None
        except trio.TooSlowError:
            link.close()
            self._kill(record)
            raise KeeperGoneError(f"it did not answer within {GREET_TIMEOUT_S:g} s and was killed") from None
        return link, record

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

    def _kill(self, record: Record | None) -> None:
        """Be rid of a keeper that never served."""
        if self._process is not None:
            self._process.kill()
            self.reap(0)
        if record is not None:
            record.remove()

    def reap(self, pid: int) -> str:
        """Reap a keeper that has ended: how it did. pid: of the one that is meant, should it not be of our starting."""
        if self._process is None:
            with suppress(ChildProcessError):  # by a program, perhaps, that this process was before
                if pid > 0:
                    os.waitpid(pid, os.WNOHANG)
            return "it was not started by this daemon"
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "it still runs"
        self._process = None
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
