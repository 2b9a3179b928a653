"""Where a soak runs: under a real `systemd --user`, or without a service manager, where this starts the next daemon."""

import os
import select
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import psutil

from tests import census
from tests.program import Program
from tests.torture.asking import PATIENCE_S, ask_at
from tests.torture.service import Service
from tests.vehicles.user_manager import UserManager

GAP_S = 0.2  # without a service manager, before the next daemon


class Place(Protocol):
    """What a soak needs of it."""

    data: Path
    logs: Path
    records_file: Path
    config: str  # the TOML that the next daemon, or reload, reads
    unasked: list[str]  # daemons that left by themselves, and were not started again

    def start(self) -> None:
        """Start the first daemon."""

    def stop(self) -> list[str]:
        """Stop for good; what was left behind."""

    def ended_daemons(self) -> int:
        """How many have ended so far, by whatever."""

    def write(self) -> None:
        """Have the configuration file say `config`."""

    def ask(self, method: str, path: str, **body: object) -> Any:
        """One request."""

    def words(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """How to run `nsvisor ARGUMENTS` as the user: command and environment."""

    def processes(self) -> list[psutil.Process]:
        """All that the daemons and keepers have started, and they themselves."""


class UnderSystemd(Service):
    """nsvisor.service of a user manager."""

    def __init__(self, manager: UserManager, config: str = "") -> None:
        super().__init__(manager, "steady-0")
        self.config = config
        self.unasked: list[str] = []

    def ended_daemons(self) -> int:
        return int(self.manager.show("nsvisor", "NRestarts"))

    def configuration(self) -> str:
        return self.config

    def write(self) -> None:
        self._write()

    def words(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        return self.manager.within("nsvisor", *arguments), self.manager.environ

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.manager.pid).children(recursive=True)


class Alone:
    """The program by itself: whenever a daemon has been killed, the next is started here."""

    def __init__(self, program: Program, config: str = "") -> None:
        census.adopt_orphans()  # so that the keeper, whose daemon is killed, is found below us
        self.program = program
        self.config = config
        self.data = program.folder("data")
        self.logs = program.state / "nsvisor" / "logs"
        self.records_file = program.log
        self.unasked: list[str] = []
        self._ended = 0
        self._before = census.children()
        self._leaving = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._keeper_of_daemons = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        self.write()
        self._keeper_of_daemons.start()

    def _keep(self) -> None:
        while not self._leaving.is_set():
            with self.program.log.open("ab") as log:
                self._process = self.program.popen(
                    "--config", str(self.program.top / "nsvisor.toml"), "daemon", stdout=log, stderr=log
                )
            status = self._process.wait()
            self._ended += not self._leaving.is_set()
            if status != -signal.SIGKILL and not self._leaving.is_set():
                self.unasked.append(f"a daemon left by itself, with status {status}")
                return
            time.sleep(GAP_S)

    def ended_daemons(self) -> int:
        return self._ended

    def stop(self) -> list[str]:
        self._leaving.set()
        left = list(self.unasked)
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        self._keeper_of_daemons.join(PATIENCE_S)
        if self._process is None or (status := self._process.poll()) is None:
            return [*left, "the daemon does not stop"]
        return [*left, *([f"the daemon's status is {status}"] if status else []), *census.leftover(self._before)]

    def write(self) -> None:
        beside = self.program.write("nsvisor.new", self.config)
        beside.rename(beside.with_suffix(".toml"))

    def ask(self, method: str, path: str, **body: object) -> Any:
        return ask_at(str(self.program.socket), method, path, body)

    def words(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        user = self.program.user
        ids = [] if user.is_me else ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--init-groups"]
        return [*ids, str(self.program.bin / "nsvisor"), *arguments], self.program.environ

    def processes(self) -> list[psutil.Process]:
        return psutil.Process().children(recursive=True)


def daemon_and_keepers(place: Place) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Those that run now; not what the daemon has forked and what is still to execute something else."""
    daemons: list[psutil.Process] = []
    keepers: list[psutil.Process] = []
    for process in place.processes():
        with suppress(psutil.Error):
            line = process.cmdline()
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if line[-1:] == ["daemon"] and any(word.endswith("nsvisor") for word in line):
                if process.ppid() not in [one.pid for one in daemons]:
                    daemons.append(process)
            elif line[:1] and line[0].startswith("nsinit: keeper"):
                keepers.append(process)
    return daemons, keepers


def kill(process: psutil.Process) -> bool:
    """SIGKILL it and wait for its end; whether it was there."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not process.is_running():  # the number may be another's by now
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        gone = select.poll()
        gone.register(pidfd, select.POLLIN)
        assert gone.poll(60_000), f"{process} does not die"
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True
