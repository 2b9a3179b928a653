"""What checks use inside a booted system, where they run as root: commands, waiting, a user of its own, its service."""

import http.client
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent  # the environment under test
PATIENCE_S = 90.0
NAME = "lingerer"
UID = 4242
Done = subprocess.CompletedProcess[str]


def run(*command: str, timeout_s: float = 60.0, env: dict[str, str] | None = None, uid: int = 0) -> Done:
    """Run a command to its end."""
    ids: dict[str, Any] = {"user": uid, "group": uid, "extra_groups": []} if uid else {}
    return subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout_s,
        env=env or {**os.environ, "PATH": path()},
        stdin=subprocess.DEVNULL,
        cwd="/",
        **ids,
    )


def path() -> str:
    return f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def checked(*command: str) -> str:
    """Run a command that has to succeed; what it printed."""
    return _must(run(*command))


def _must(done: Done) -> str:
    assert done.returncode == 0, f"{done.args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait until it holds; AssertionError where it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.05)


def processes(uid: int) -> dict[int, str]:
    """Those of a user, in whatever namespace: pid and command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and entry.stat().st_uid == uid:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                if words:  # not a zombie
                    found[int(entry.name)] = words
        except OSError:  # it has ended
            continue
    return found


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """A signal for one process: never for a group, which 0 would mean."""
    assert pid > 1, pid
    os.kill(pid, number)


def cgroup_of(pid: int) -> Path:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return Path("/sys/fs/cgroup" + next(line[3:] for line in lines if line.startswith("0::")))


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(str(self.path))


def ask(control: Path, target: str) -> Any:
    """GET from a daemon's control socket. OSError, HTTPException."""
    connection = _Connection(control)
    try:
        connection.request("GET", target)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


class Service:
    """nsvisor.service of the system manager, with root's daemon."""

    uid = 0
    scope_option: tuple[str, ...] = ()
    config = Path("/etc/nsvisor/nsvisor.toml")
    units = Path("/etc/systemd/system")
    runtime = Path("/run/nsvisor")

    def run(self, *command: str) -> Done:
        """As whoever owns the daemon."""
        return run(*command)

    def check(self, *command: str) -> str:
        return _must(self.run(*command))

    def systemctl(self, *arguments: str) -> str:
        return self.check("systemctl", *self.scope_option, *arguments).strip()

    def show(self, key: str, unit: str = "nsvisor") -> str:
        return self.systemctl("show", "--property", key, "--value", unit)

    def write(self, path: Path, text: str) -> None:
        self.check("mkdir", "-p", str(path.parent))
        path.write_text(text)
        os.chown(path, self.uid, self.uid)

    def drop_in(self, text: str) -> None:
        """Own settings of the unit; none for an empty text."""
        self.write(self.units / "nsvisor.service.d" / "guest.conf", text)
        self.systemctl("daemon-reload")

    def instances(self) -> dict[str, dict[str, Any]]:
        """What the daemon says, by instance; nothing while there is none."""
        try:
            return {one["name"]: one for one in ask(self.runtime / "control.sock", "/v1/instances")}
        except (OSError, http.client.HTTPException):
            return {}

    def identities(self) -> dict[str, tuple[int, int]]:
        """Process and incarnation of each instance."""
        return {name: (one["pid"], one["incarnation"]) for name, one in self.instances().items()}

    def is_ready(self) -> bool:
        listed = self.instances()
        return bool(listed) and all(one["ready"] for one in listed.values())

    def main_pid(self) -> int:
        return int(self.show("MainPID"))

    def scopes(self) -> list[str]:
        return self.systemctl("list-units", "--type=scope", "--no-legend", "--plain", "nsvisor-*").splitlines()

    def started_anew(self, old_pid: int) -> bool:
        """The service manager has started another daemon, and its workers are ready."""
        return self.main_pid() not in (0, old_pid) and self.show("ActiveState") == "active" and self.is_ready()

    def journal(self, *matches: str, boot: int = 0) -> list[dict[str, Any]]:
        """Entries as its owner reads them."""
        run("journalctl", "--sync")
        words = ["journalctl", *self.scope_option, "--quiet", "--all", "--output=json", f"--boot={boot}", *matches]
        return [json.loads(line) for line in self.run(*words).stdout.splitlines()]

    def events(self, event: str, boot: int = 0, **fields: object) -> list[dict[str, Any]]:
        """The daemon's records of this event, as journal entries."""
        matches = [f"NSVISOR_{key.upper()}={value}" for key, value in fields.items()]
        return self.journal(f"NSVISOR_EVENT={event}", *matches, boot=boot)


class UserService(Service):
    """nsvisor.service of an ordinary user who lingers."""

    uid = UID
    scope_option = ("--user",)
    home = Path("/home") / NAME
    config = home / ".config/nsvisor/nsvisor.toml"
    units = home / ".config/systemd/user"
    runtime = Path(f"/run/user/{UID}/nsvisor")

    def environ(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "USER": NAME,
            "LOGNAME": NAME,
            "LANG": "C.UTF-8",
            "PATH": path(),
            "XDG_RUNTIME_DIR": f"/run/user/{UID}",
        }

    def run(self, *command: str) -> Done:
        return run(*command, env=self.environ(), uid=UID)

    def manager_is_up(self) -> bool:
        return run("systemctl", "is-active", f"user@{UID}.service").stdout.strip() == "active"

    def nothing_is_left(self) -> bool:
        return not self.manager_is_up() and not processes(UID) and not self.slice().exists()

    def slice(self) -> Path:
        return Path(f"/sys/fs/cgroup/user.slice/user-{UID}.slice")


def make_user() -> None:
    """The user, who lingers from now on: systemd --user runs for it."""
    try:
        pwd.getpwnam(NAME)
    except KeyError:
        checked("useradd", "--create-home", "--uid", str(UID), "--user-group", "--shell", "/bin/bash", NAME)
    checked("loginctl", "enable-linger", NAME)
    wait_for(UserService().manager_is_up, "the user's manager")
