"""A daemon of its own for a benchmark, and its control API by the standard library alone."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NSVISOR = Path(sys.executable).parent / "nsvisor"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("nsvisor")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class Caller:
    """An open connection, on which a request is sent and its answer read when there is time for it."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)

    def send(self, method: str, path: str, body: object) -> None:
        content = json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: nsvisor\r\nContent-Length: {len(content)}\r\n\r\n"
        self._socket.sendall(head.encode() + content)

    def answer(self) -> bytes:
        response = http.client.HTTPResponse(self._socket)
        response.begin()
        content = response.read()
        if response.status >= 400:
            raise SystemExit(f"{response.status} {content.decode()}")
        return content

    def close(self) -> None:
        self._socket.close()


class Daemon:
    """The running daemon."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: str) -> None:
        self.process = process
        self._control = control

    def ask(self, method: str, path: str, body: object = None, *, decode: bool = True) -> Any:
        """One request on a connection of its own, as a command makes it."""
        connection = _Connection(self._control)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise SystemExit(f"{method} {path}: {response.status} {answer.decode()}")
        return json.loads(answer) if decode else answer

    def connected(self) -> Caller:
        """A connection of its own."""
        return Caller(self._control)

    def pids(self) -> dict[str, int]:
        """The daemon and its keeper."""
        tree = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        keepers = [int(pid) for pid in tree if b"nsinit" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        if len(keepers) != 1:
            raise SystemExit(f"cannot tell the keeper among the daemon's children: {tree}")
        return {"daemon": self.process.pid, "keeper": keepers[0]}


def _answers(daemon: Daemon, timeout_s: float) -> None:
    """Wait until it does."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            daemon.ask("GET", "/v1/version")
        except (FileNotFoundError, ConnectionRefusedError):  # no socket yet, or nobody listens there yet
            if daemon.process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def checked(top: Path, config: str) -> str | None:
    """Why `nsvisor check` refuses a configuration. None: it does not."""
    file = top / "nsvisor.toml"
    file.write_text(config)
    done = subprocess.run([NSVISOR, "--config", file, "check"], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else (done.stdout + done.stderr).strip().splitlines()[0]


@contextmanager
def running(top: Path, config: str) -> Iterator[Daemon]:
    """A daemon on this TOML, in folders below `top`."""
    environ = dict(os.environ)
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "NSVISOR_CONFIG", "NSVISOR_SOCKET"):
        environ.pop(name, None)
    for variable, name in (("XDG_RUNTIME_DIR", "run"), ("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config")):
        (top / name).mkdir(mode=0o700, exist_ok=True)
        environ[variable] = str(top / name)
    file, log, control = top / "nsvisor.toml", top / "daemon.log", top / "run/nsvisor/control.sock"
    file.write_text(config)
    with log.open("wb") as out:
        process = subprocess.Popen([NSVISOR, "--config", file, "daemon"], env=environ, stdout=out, stderr=out)
    daemon = Daemon(process, str(control))
    try:
        _answers(daemon, 60.0)
        yield daemon
    except BaseException:
        sys.stderr.write(log.read_text())
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
