"""nsvisor.service under a real user manager, as the torture sees it from outside the manager's namespaces."""

import json
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.e2e.private_network import TUN
from tests.torture.asking import PATIENCE_S, NotThereError, ask_at
from tests.torture.fleet import fleet
from tests.vehicles.user_manager import UserManager

DROP_IN = (
    "[Unit]\nStartLimitIntervalSec=0\n[Service]\nStandardError=append:%h/nsvisor.log\nRestartSec=0\nTimeoutStopSec=60\n"
)


class Service:
    """The daemon of one user."""

    def __init__(self, manager: UserManager, waits_for: str = "steady-0") -> None:
        """waits_for: the instance that is ready once a daemon has taken over."""
        self.manager = manager
        self._waits_for = waits_for
        self.data = manager.user.owns(_folder(manager.home / "data"))
        self.logs = manager.home / ".local/state/nsvisor/logs"
        self.records_file = manager.home / "nsvisor.log"
        self._config = manager.home / ".config/nsvisor/nsvisor.toml"
        self._changed = False
        self._before = manager.processes()

    def start(self) -> None:
        """Install the unit and start it."""
        enter = ["nsenter", "--target", str(self.manager.pid), "--mount", "--pid", "--", "sh", "-c", TUN]
        subprocess.run(enter, check=True)  # in the manager's own mount namespace: pasta may open it
        self.manager.check("mkdir", "-p", str(self._config.parent))
        self._write()
        self.manager.check("nsvisor", "install-unit")
        drop_in = self.manager.home / ".config/systemd/user/nsvisor.service.d"
        self.manager.check("mkdir", "-p", str(drop_in))
        _owned(self, drop_in / "torture.conf", DROP_IN)
        self.manager.systemctl("daemon-reload")
        self.manager.systemctl("start", "nsvisor")

    def stop(self) -> list[str]:
        """Stop the unit: what it left behind."""
        self.manager.systemctl("stop", "nsvisor")
        deadline = time.monotonic() + 20
        while left := {pid: args for pid, args in self.manager.processes().items() if pid not in self._before}:
            if time.monotonic() > deadline:
                return [f"process {pid}: {args}" for pid, args in left.items()]
            time.sleep(0.1)
        result = self.manager.show("nsvisor", "Result")
        return [] if result == "success" else [f"the unit's result is {result}"]

    def change(self) -> None:
        """Replace the configuration by its other variant."""
        self._changed = not self._changed
        self._write()

    def configuration(self) -> str:
        """The TOML of the present variant."""
        return fleet(self.data, changed=self._changed)

    def _write(self) -> None:
        beside = self._config.with_suffix(".new")
        _owned(self, beside, self.configuration())
        beside.rename(self._config)

    def pidfd(self, but: int = 0) -> tuple[int, int]:
        """Wait for a daemon that is not this one: its pid and a pidfd."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for process in psutil.Process(self.manager.pid).children(recursive=True):
                with suppress(psutil.Error, OSError):
                    line = process.cmdline()
                    if process.pid != but and line[-1:] == ["daemon"] and process.status() != psutil.STATUS_ZOMBIE:
                        return process.pid, os.pidfd_open(process.pid)
            time.sleep(0.005)
        raise AssertionError(f"systemd started no other daemon\n{self.manager.log()[-20_000:]}")

    def kill(self, pid: int, pidfd: int) -> None:
        """SIGKILL it and wait for its end."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        gone = select.poll()
        gone.register(pidfd, select.POLLIN)
        assert gone.poll(60_000), f"the daemon {pid} does not die"
        os.close(pidfd)

    def ask(self, method: str, path: str, **body: object) -> Any:
        """One request. NotThereError; AssertionError where it is refused."""
        place = f"/proc/{self.manager.pid}/root/run/user/{self.manager.user.uid}/nsvisor/control.sock"
        return ask_at(place, method, path, body)

    def wait_until_it_answers(self) -> None:
        """Return once a daemon has adopted what there is."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with suppress(NotThereError):
                self.ask("POST", "/v1/wait", names=[self._waits_for], condition="ready", timeout_s=PATIENCE_S)
                return
            assert time.monotonic() < deadline, f"no daemon answers\n{self.manager.log()[-20_000:]}"
            time.sleep(0.005)

    def records(self) -> list[dict[str, Any]]:
        """What all daemons said."""
        found = []
        for line in self.records_file.read_text(errors="replace").splitlines():
            with suppress(ValueError):  # a daemon killed while it wrote
                found.append(json.loads(line))
        return [record for record in found if isinstance(record, dict)]


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path


def _owned(service: Service, path: Path, text: str) -> None:
    path.write_text(text)
    service.manager.user.owns(path)
