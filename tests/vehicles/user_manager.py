"""A real `systemd --user` to run the unit under: see user-systemd.sh."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.accounts import Account

SCRIPT = Path(__file__).with_name("user-systemd.sh")
NEEDS = ("nsenter", "ps", "setpriv", "systemctl", "systemd-run", "unshare")


def cannot_start() -> str | None:
    """Why there can be no such manager here; None if there can."""
    if os.geteuid() != 0:
        return "needs root once, for a cgroup to delegate"
    missing = [program for program in NEEDS if shutil.which(program) is None]
    if missing or not os.access("/usr/lib/systemd/systemd", os.X_OK):
        return f"needs systemd and util-linux (missing: {' '.join(missing) or 'systemd'})"
    return None


class UserManager:
    """The running manager, and how to run commands beside it as its user."""

    def __init__(self, user: Account, home: Path, pid: int, path: str) -> None:
        self.user = user
        self.home = home
        self.pid = pid
        self.environ = {
            "HOME": str(home),
            "USER": user.name,
            "LOGNAME": user.name,
            "PATH": path,
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": f"/run/user/{user.uid}",
        }

    def within(self, *command: str) -> list[str]:
        """The words that run a command in the manager's namespaces as its user, with `environ`."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--cgroup", "--wd=/"]
        return [*enter, "setpriv", f"--reuid={self.user.uid}", f"--regid={self.user.gid}", "--init-groups", *command]

    def run(self, *command: str, timeout_s: float = 60.0) -> "subprocess.CompletedProcess[str]":
        """Run a command in the manager's namespaces as its user."""
        return subprocess.run(
            self.within(*command),
            check=False,
            capture_output=True,
            text=True,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
        )

    def check(self, *command: str) -> str:
        """Run a command that has to succeed; what it printed."""
        done = self.run(*command)
        assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.log()}"
        return done.stdout

    def systemctl(self, *arguments: str) -> str:
        return self.check("systemctl", "--user", *arguments).strip()

    def show(self, unit: str, key: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", "--property", key, "--value", unit)

    def processes(self) -> dict[int, str]:
        """All processes of the namespaces but the ones that look: pid and command line."""
        lines = self.check("ps", "-e", "-o", "pid=,args=").splitlines()
        found = {int(pid): args for pid, _, args in (line.strip().partition(" ") for line in lines)}
        return {pid: args for pid, args in found.items() if "ps -e -o" not in args}

    def log(self) -> str:
        """What the manager and its services wrote."""
        return "\n".join(file.read_text(errors="replace") for file in sorted(self.home.glob("*.log")))

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
        """Wait until the condition holds; AssertionError with the log if it never does."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}\n{self.log()}"
            time.sleep(0.1)


@contextmanager
def user_manager(user: Account, path: Sequence[Path | str]) -> Iterator[UserManager]:
    """Start a manager for this user with a home of its own; ended with everything in it. `path` is PATH."""
    home = user.owns(Path(tempfile.mkdtemp(prefix="nsvisor-home-")))
    process = subprocess.Popen(
        [str(SCRIPT), user.name, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        words = process.stdout.readline().split()
        assert words[:1] == ["ready"], (home / "systemd.log").read_text()
        yield UserManager(user, home, int(words[1]), ":".join(str(part) for part in path))
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
        shutil.rmtree(home)
