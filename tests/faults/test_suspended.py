"""The daemon itself does not run for a while (SIGSTOP, as on a starved machine): no worker is condemned for it."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.daemons import running, wait_until
from tests.program import Program

ASLEEP_S = 3.0  # longer than every deadline below
FLEET = """
[worker.served]
command = ["python3", "-c", '''
import socket
server = socket.create_server(("127.0.0.1", 8000))
while True:
    client, _ = server.accept()
    client.recv(1000)
    client.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n")
    client.close()
''']
ready = { kind = "http", url = "http://127.0.0.1:8000/", timeout = "20s" }
health = { kind = "http", url = "http://127.0.0.1:8000/", interval = "20ms", timeout = "2500ms", retries = 1 }

[worker.beating]
command = ["python3", "-c", '''
import os, socket, time
link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
link.connect(os.environ["NOTIFY_SOCKET"])
while True:
    link.send(b"WATCHDOG=1")
    time.sleep(0.2)
''']
health = { kind = "notify", timeout = "2500ms" }

[worker.slow]
command = ["python3", "-c", '''
import os, socket, time
link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
link.connect(os.environ["NOTIFY_SOCKET"])
time.sleep(0.5)
link.send(b"READY=1")
time.sleep(1000)
''']
ready = { kind = "notify", timeout = "2500ms" }

[worker.once]
command = ["sh", "-c", "sleep 1; exit 7"]
restart = { policy = "never" }
"""


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Not run meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def state_of(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_deadlines_wait_for_a_daemon_that_is_stopped(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        daemon.wait_state("served", "ready")
        daemon.wait_record("worker.healthy", instance="served")
        daemon.wait_record("worker.running", instance="slow")
        with stopped(daemon.pid):
            wait_until(lambda: state_of(daemon.pid) == "T", "the daemon to be stopped")
            time.sleep(ASLEEP_S)
        slept = daemon.wait_record("daemon.slept")
        assert slept["duration_s"] >= ASLEEP_S - 1
        daemon.wait_state("slow", "ready")
        assert daemon.wait_state("once", "failed")["last_exit"]["code"] == 7
        status, (once,) = daemon.ask("GET", "/v1/instances/once")
        assert (status, len(once["exits"])) == (200, 1)
        for event in ("worker.unhealthy", "worker.ready_timeout", "setup.failed", "keeper.died"):
            assert daemon.records(event) == []
        assert all(one["restarts"] == 0 for one in daemon.instances().values())
