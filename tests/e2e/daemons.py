"""A running daemon as a test sees it: what it logs, what its API answers, which processes are there."""

import http.client
import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from tests.program import Program

PATIENCE_S = 20.0
Record = dict[str, Any]


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    """Wait until the condition holds; AssertionError if it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.02)


def matching(*words: str) -> list[int]:
    """Pids of living processes whose command line holds these words, one after the other."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
        except psutil.Error:
            continue
        if any(tuple(line[at : at + len(words)]) == words for at in range(len(line) - len(words) + 1)):
            found.append(process.pid)
    return found


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(self._path)


class Daemon:
    """One daemon, started by `running`."""

    def __init__(self, program: Program, process: "subprocess.Popen[str]") -> None:
        self.program = program
        self.process = process

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request: status and decoded body."""
        connection = _Connection(str(self.program.socket))
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def post(self, path: str, **body: object) -> Any:
        """A request that has to succeed."""
        status, answer = self.ask("POST", path, body)
        assert status == 200, answer
        return answer

    def instances(self) -> dict[str, Record]:
        status, answer = self.ask("GET", "/v1/instances")
        assert status == 200, answer
        return {one["name"]: one for one in answer}

    def instance(self, name: str) -> Record:
        return self.instances()[name]

    def records(self, event: str = "", **fields: object) -> list[Record]:
        """Records of this program's daemons so far, of this event and with these fields."""
        found = []
        for line in self.program.log.read_text().splitlines():
            if not line.startswith("{") or not line.endswith("}"):
                continue
            record = json.loads(line)
            if event in ("", record["event"]) and all(record.get(key) == value for key, value in fields.items()):
                found.append(record)
        return found

    def wait_record(self, event: str, timeout_s: float = PATIENCE_S, after: int = 0, **fields: object) -> Record:
        """Wait for such a record; `after`: skip so many."""
        try:
            wait_until(lambda: len(self.records(event, **fields)) > after, f"{event} {fields}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.program.log.read_text()}") from None
        return self.records(event, **fields)[after]

    def wait_state(self, name: str, *states: str, timeout_s: float = PATIENCE_S) -> Record:
        """Wait until an instance is in one of these states."""
        try:
            wait_until(lambda: self.instance(name)["state"] in states, f"{name} to be {states}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.program.log.read_text()}") from None
        return self.instance(name)

    def keeper_pid(self) -> int:
        """Of the keeper that takes launches now."""
        started = [*self.records("keeper.started"), *self.records("keeper.adopted")]
        return int(max(started, key=lambda record: record["timestamp"])["pid"])

    def kill(self) -> None:
        """SIGKILL the daemon and reap it."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM the daemon: its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


@contextmanager
def running(program: Program, config: str) -> Iterator[Daemon]:
    """A daemon on this TOML; stopped in the end if it is still there."""
    with program.daemon(config) as process:
        yield Daemon(program, process)


@contextmanager
def killed_in_the_end(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    """End a process with the test, whatever becomes of that."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
