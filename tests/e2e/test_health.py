"""Readiness and health as the program has them: probes, what is said, what its verbs show, the next daemon."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.accounts import Account
from tests.cgroups import delegated, inside
from tests.e2e.daemons import Daemon, is_alive, matching, running, wait_until
from tests.program import Program

# An HTTP server in a network of its own, well until /tmp/bad is there; a client that waits for it.
FLEET = """
[worker.web]
command = ["python3", "-c", '''
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if os.path.exists("/tmp/bad") else 200)
        self.end_headers()
        self.wfile.write(b"the database is down")
http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
''']
ready = { kind = "http", url = "http://127.0.0.1:8080/" }
health = { kind = "http", url = "http://127.0.0.1:8080/", interval = "100ms", retries = 2 }
restart = { delay = "100ms" }

[worker.client]
command = ["sleep", "1000"]
after = ["web"]
ready = { kind = "command", command = ["test", "-d", "/tmp"] }
"""


def test_what_the_verbs_say_of_health(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        assert nsvisor.run("wait", "--for", "healthy", "--timeout", "15s").returncode == 0
        assert "is ready and healthy (HTTP 200 OK: the database is down)" in nsvisor.run("explain", "web").stdout
        pid = daemon.instance("web")["pid"]
        nsvisor.run("exec", "web", "--", "touch", "/tmp/bad")
        record = daemon.wait_record("worker.unhealthy", instance="web")
        assert record["seen"] == "HTTP 503 Service Unavailable: the database is down"
        exited = daemon.wait_record("worker.exited", instance="web")
        assert (exited["cause"], exited["probe"], exited["signal"]) == ("unhealthy", record["seen"], "SIGTERM")
        assert "requested_by" not in exited
        wait_until(lambda: daemon.instance("web")["health"] == "healthy", "the next one")
        assert daemon.instance("web")["pid"] != pid
        assert "unhealthy" in nsvisor.run("ps").stdout, "the last exit"
        assert record["seen"] in nsvisor.run("explain", "web").stdout


@pytest.mark.parametrize("mapped", ["", 'id_map = "auto"\nuser = 5\n'])
def test_systemd_notify_and_a_watchdog_that_bites(nsvisor: Program, mapped: str) -> None:
    body = "sleep 0.2; systemd-notify --ready --status=serving; systemd-notify WATCHDOG=1; exec sleep 1000"
    config = f"""
[worker.a]
command = ["sh", "-c", "{body}"]
ready = {{ kind = "notify" }}
health = {{ kind = "notify", timeout = "700ms" }}
restart = {{ policy = "never" }}
{mapped}"""
    with running(nsvisor, config) as daemon:
        daemon.wait_record("worker.ready")
        daemon.wait_record("worker.healthy")
        assert daemon.wait_record("worker.notified")["status"] == "serving"
        exited = daemon.wait_record("worker.exited")
        assert (exited["cause"], exited["probe"]) == ("unhealthy", "no WATCHDOG=1 for 0.7 s")
        assert daemon.wait_state("a", "failed")["status_text"] is None


def test_the_next_daemon_probes_on_and_leaves_no_probe_behind(nsvisor: Program) -> None:
    config = """
[worker.a]
command = ["sleep", "1000"]
health = { kind = "command", command = ["sleep", "7531"], timeout = "1s", interval = "100ms", retries = 2 }
restart = { policy = "never" }
"""
    process = nsvisor.start_daemon(config)
    daemon = Daemon(nsvisor, process)
    (probe,) = _wait_for("sleep", "7531")
    pid = daemon.instance("a")["pid"]
    daemon.kill()
    with running(nsvisor, config) as daemon:
        assert daemon.instance("a")["pid"] == pid
        daemon.wait_record("exec.stray")
        wait_until(lambda: not is_alive(probe), "the old probe's end")
        assert daemon.wait_record("worker.unhealthy")["seen"] == "sleep: no answer within 1 s"
        daemon.wait_state("a", "failed")
        wait_until(lambda: not matching("sleep", "7531"), "the new one's end")


def _wait_for(*words: str) -> list[int]:
    wait_until(lambda: matching(*words), " ".join(words))
    return matching(*words)


@pytest.fixture
def place(unprivileged: Account) -> Iterator[Path]:
    """A cgroup for the ordinary user."""
    with delegated(unprivileged) as directory:
        yield directory


@contextmanager
def running_in(place: Path, nsvisor: Program, config: str) -> Iterator[Daemon]:
    with inside(place):
        process = nsvisor.start_daemon(config)
    daemon = Daemon(nsvisor, process)
    try:
        yield daemon
    finally:
        assert daemon.stop() == 0


def test_a_paused_worker_is_not_probed(nsvisor: Program, place: Path) -> None:
    with running_in(place, nsvisor, FLEET.replace("retries = 2", 'retries = 1, timeout = "2s"')) as daemon:
        wait_until(lambda: daemon.instance("web")["health"] == "healthy", "health")
        daemon.post("/v1/pause", names=["web"])
        time.sleep(2.7)  # a probe of it would have failed by now
        daemon.post("/v1/unpause", names=["web"])
        time.sleep(0.3)
        assert daemon.instance("web")["health"] == "healthy"
        assert daemon.records("worker.unhealthy") == []


def test_a_command_has_a_cgroup_of_its_own(nsvisor: Program, place: Path) -> None:
    config = """
[worker.a]
command = ["sleep", "1000"]
[worker.a.health]
kind = "command"
command = ["sh", "-c", "setsid sleep 7532 & sleep 7532"]
timeout = "1s"
retries = 1
on_failure = "report"
"""
    with running_in(place, nsvisor, config) as daemon:
        _wait_for("sleep", "7532")
        (tree,) = place.glob("**/a#1-probe-*")
        assert len((tree / "cgroup.procs").read_text().split()) >= 2
        daemon.wait_record("worker.unhealthy")
        wait_until(lambda: not tree.exists(), "its end")
        assert not matching("sleep", "7532")
        assert daemon.instance("a")["state"] == "ready"
