"""The real program, run as some user in folders of its own."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.accounts import Account

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 30.0


class Program:
    """`nsvisor` with its own runtime, state and configuration folders below the temporary folder."""

    def __init__(self, user: Account, folder: Path) -> None:
        self.user = user
        self.bin = folder
        self.wrapper: list[str] = []  # words before the command: unshare, prlimit
        self.identity = user.identity()  # keywords of Popen
        self.top = Path(tempfile.mkdtemp(prefix="nsvisor-test-"))
        self.top.chmod(0o700)
        user.owns(self.top)
        self.runtime = self.folder("run")
        self.state = self.folder("state")
        self.config = self.folder("config")
        self.environ = {
            "HOME": user.home,
            "USER": user.name,
            "LOGNAME": user.name,
            "PATH": f"{folder}:{PATH}",
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_STATE_HOME": str(self.state),
            "XDG_CONFIG_HOME": str(self.config),
        }

    def folder(self, name: str) -> Path:
        """A new folder of the user's own."""
        path = self.top / name
        path.mkdir(mode=0o700)
        return self.user.owns(path)

    def write(self, name: str, text: str) -> Path:
        """A new file of the user's own."""
        path = self.top / name
        path.write_text(text)
        return self.user.owns(path)

    def popen(self, *args: str, **options: object) -> "subprocess.Popen[str]":
        """Start the program; the caller ends it."""
        settings: dict[str, object] = {
            "env": self.environ,
            "cwd": self.top,
            "text": True,
            "stdin": subprocess.DEVNULL,
            **self.identity,
            **options,
        }
        return subprocess.Popen([*self.wrapper, str(self.bin / "nsvisor"), *args], **settings)  # type: ignore[call-overload, no-any-return]

    def run(self, *args: str, timeout_s: float = 30.0, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run the program to its end and return what it said."""
        pipe = subprocess.PIPE
        options: dict[str, object] = {"stdin": pipe} if stdin is not None else {}
        process = self.popen(*args, stdout=pipe, stderr=pipe, **options)
        try:
            out, err = process.communicate(stdin, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            raise AssertionError(f"nsvisor {' '.join(args)} took over {timeout_s} s\n{out}\n{err}") from None
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    @property
    def socket(self) -> Path:
        return self.runtime / "nsvisor" / "control.sock"

    @property
    def log(self) -> Path:
        """What the daemon started by `daemon()` wrote to its standard error."""
        return self.top / "daemon.log"

    def start_daemon(self, config: str) -> "subprocess.Popen[str]":
        """Start a daemon on this TOML and return once it answers; the caller ends it."""
        file = self.write("nsvisor.toml", config)
        with self.log.open("ab") as log:
            process = self.popen("--config", str(file), "daemon", stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.run("ps").returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise AssertionError(f"the daemon did not start:\n{self.log.read_text()}")
            time.sleep(0.05)
        return process

    @contextmanager
    def daemon(self, config: str) -> Iterator["subprocess.Popen[str]"]:
        """A daemon on this TOML, ended by SIGTERM unless it has ended by then."""
        process = self.start_daemon(config)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"the daemon did not stop:\n{self.log.read_text()}") from None

    def remove(self) -> None:
        """Delete the folders."""
        shutil.rmtree(self.top, ignore_errors=os.geteuid() != 0)
