"""Who starts after whom, who falls with whom, how many at a time."""

from typing import Any

from tests.accounts import needs_a_range
from tests.e2e.daemons import Daemon, running, wait_until
from tests.program import Program

ORDERED = """
[worker.app]
command = ["sleep", "44001"]
requires = ["db"]
after = ["db"]

[worker.db]
command = ["python3", "-m", "http.server", "--bind", "127.0.0.1", "8080"]
ready = { kind = "tcp", address = "127.0.0.1:8080", interval = "50ms" }
stop = { signal = "SIGINT" }
restart = { success_exit = ["SIGINT"], delay = "0.3s" }

[worker.web]
command = ["sleep", "44002"]
requires = ["app"]
after = ["app"]
"""


def times(daemon: Daemon, event: str, **fields: Any) -> dict[str, str]:
    """When each instance was first reported so."""
    found: dict[str, str] = {}
    for record in daemon.records(event, **fields):
        found.setdefault(record["instance"], record["timestamp"])
    return found


def test_start_in_order_and_stop_in_reverse(nsvisor: Program) -> None:
    with running(nsvisor, ORDERED) as daemon:
        assert daemon.instance("web")["state"] in {"waiting", "creating", "ready"}
        daemon.wait_state("web", "ready")
        launched, ready = times(daemon, "worker.launching"), times(daemon, "worker.ready")
        assert ready["db"] <= launched["app"]
        assert ready["app"] <= launched["web"]
        assert daemon.stop() == 0
        asked, gone = times(daemon, "worker.stopping"), times(daemon, "worker.exited", requested_by="shutdown")
        assert gone["web"] <= asked["app"]
        assert gone["app"] <= asked["db"]


def test_what_requires_a_worker_falls_with_it_and_comes_back(nsvisor: Program) -> None:
    with running(nsvisor, ORDERED) as daemon:
        daemon.wait_state("web", "ready")
        daemon.post("/v1/kill", names=["db"], signal="SIGKILL")
        for name in ("app", "web"):
            daemon.wait_record("worker.exited", instance=name)
            wait_until(lambda name=name: daemon.instance(name)["incarnation"] == 2, f"{name} to be launched again")  # type: ignore[misc]
        after = daemon.wait_state("web", "ready")
        assert after["restarts"] == 0  # asked for, so no failure of its own
        assert daemon.instance("app")["last_exit"]["requested_by"] == "requires:db"
        assert daemon.instance("web")["last_exit"]["requested_by"] == "requires:app"
        assert daemon.instance("db")["restarts"] == 1


def test_stopped_by_hand_keeps_its_dependents_waiting(nsvisor: Program) -> None:
    with running(nsvisor, ORDERED) as daemon:
        daemon.wait_state("web", "ready")
        assert nsvisor.run("stop", "--wait", "db").returncode == 0
        daemon.wait_state("app", "waiting")
        daemon.wait_state("web", "waiting")
        said = nsvisor.run("explain", "app").stdout
        assert "app waits for db (stopped)" in said
        assert nsvisor.run("start", "--wait", "--timeout", "20s", "web").returncode == 0  # and what it requires
        assert daemon.instance("db")["state"] == "ready"


def test_start_concurrency(nsvisor: Program) -> None:
    needs_a_range(nsvisor.user)
    slow = nsvisor.folder("bin")
    for name in ("newuidmap", "newgidmap"):
        script = slow / name
        script.write_text(f'#!/bin/sh\nsleep 0.2\nexec /usr/bin/{name} "$@"\n')
        nsvisor.user.owns(script).chmod(0o755)
    nsvisor.environ["PATH"] = f"{slow}:{nsvisor.environ['PATH']}"
    worker = '[worker.w]\ncommand = ["sleep", "44003"]\ninstances = 6\nid_map = "keep-id"\n'
    fleet = "[supervisor]\nstart_concurrency = 2\n" + worker
    with running(nsvisor, fleet) as daemon:
        wait_until(lambda: all(one["state"] == "ready" for one in daemon.instances().values()), "all to be up")
        most = under_way = 0
        for record in daemon.records("setup.phase"):
            under_way += (record["phase"] == "clone") - (record["phase"] == "exec")
            most = max(most, under_way)
        ended = [record["timestamp"] for record in daemon.records("setup.completed")]
        assert len(ended) == 6
        assert most <= 2
