"""A real systemd-journald to write to and read back from: see journald.sh."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.program import Program

SCRIPT = Path(__file__).with_name("journald.sh")
PROGRAM = "/usr/lib/systemd/systemd-journald"
PATIENCE_S = 20.0
Entry = dict[str, Any]


def cannot_start() -> str | None:
    """Why there can be no journald here; None if there can."""
    if os.geteuid() != 0:
        return "needs root, for a /run of its own"
    if not os.access(PROGRAM, os.X_OK) or shutil.which("journalctl") is None:
        return "needs systemd-journald"
    return None


class Journald:
    """The running journald."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def path(self, inside: str) -> str:
        """A path of its namespace, for processes outside."""
        return f"/proc/{self.pid}/root{inside}"

    @property
    def address(self) -> str:
        return self.path("/run/systemd/journal/socket")

    def stream(self, identifier: str) -> socket.socket:
        """A connection as systemd makes it for a service's standard error."""
        made = socket.socket(socket.AF_UNIX)
        made.connect(self.path("/run/systemd/journal/stdout"))
        made.send(f"{identifier}\n\n6\n0\n0\n0\n0\n".encode())
        return made

    def journalctl(self, *arguments: str) -> str:
        """What it prints, once all that was sent is written."""
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--"]
        for command in (["--sync"], [*arguments]):
            done = subprocess.run(
                [*enter, "journalctl", "--quiet", "--no-pager", *command], check=False, capture_output=True, timeout=30
            )
            assert done.returncode in {0, 1}, done.stderr  # 1: no entry matches
        return done.stdout.decode(errors="surrogateescape")

    def entries(self, *matches: str) -> list[Entry]:
        """All entries that match, fields of any size included."""
        return [json.loads(line) for line in self.journalctl("--output=json", "--all", *matches).splitlines()]

    def wrap(self, program: Program) -> Program:
        """Have this program, whoever its user, run where this is the journal."""
        user = program.user
        enter = [_path("nsenter"), "--target", str(self.pid), "--mount", f"--wd={program.top}", "--"]
        identity = [_path("setpriv"), f"--reuid={user.uid}", f"--regid={user.gid}", "--init-groups", "--"]
        program.wrapper = [*enter, *identity]
        program.identity = {}
        return program


def journal_stream(stream: socket.socket) -> str:
    """What systemd says of it in $JOURNAL_STREAM."""
    found = os.fstat(stream.fileno())
    return f"{found.st_dev}:{found.st_ino}"


@contextmanager
def journald() -> Iterator[Journald]:
    """Start one; ended with its namespace."""
    command: Sequence[str] = ("unshare", "--mount", "--propagation", "private", "--", str(SCRIPT))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    running = Journald(process.pid)
    try:
        deadline = time.monotonic() + PATIENCE_S
        # Its own /run before all else: until then the paths are those of the machine.
        while os.readlink(f"/proc/{process.pid}/exe") != PROGRAM or not os.path.exists(
            running.path("/run/systemd/journal/io.systemd.journal")
        ):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, "journald does not come up"
            time.sleep(0.01)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stderr.close()


def _path(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, name
    return found
