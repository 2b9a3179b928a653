"""The unit under a real `systemd --user`: start, crash of a worker, reload, crash of the daemon, watchdog, stop."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.accounts import Account
from tests.vehicles.user_manager import UserManager, cannot_start, user_manager

FLEET = """
[worker.steady]
command = ["sleep", "1000"]
instances = 2

[worker.other]
command = ["sleep", "1001"]
restart = { policy = "always", delay = "0.1s" }
"""


@pytest.fixture(scope="module")
def manager(unprivileged: Account, program_bin: Path) -> Iterator[UserManager]:
    reason = cannot_start()
    if reason is not None:
        pytest.skip(reason)
    with user_manager(unprivileged, [program_bin, "/usr/local/bin", "/usr/bin", "/bin"]) as running:
        yield running


class Service:
    """nsvisor.service under that manager."""

    def __init__(self, manager: UserManager) -> None:
        self.manager = manager
        self.unit = manager.home / ".config/systemd/user/nsvisor.service"
        self.config = manager.home / ".config/nsvisor/nsvisor.toml"

    def write(self, path: Path, text: str) -> None:
        self.manager.check("mkdir", "-p", str(path.parent))
        path.write_text(text)
        self.manager.user.owns(path)

    def drop_in(self, text: str) -> None:
        self.write(self.unit.with_name("nsvisor.service.d") / "test.conf", text)
        self.manager.systemctl("daemon-reload")

    def instances(self) -> dict[str, dict[str, Any]]:
        """What `nsvisor ps` says, by instance."""
        listed = json.loads(self.manager.check("nsvisor", "ps", "--json"))
        return {one["name"]: one for one in listed}

    def pids(self) -> dict[str, int]:
        return {name: one["pid"] for name, one in self.instances().items()}

    def ready(self) -> bool:
        return all(one["ready"] for one in self.instances().values())

    def main_pid(self) -> int:
        return int(self.manager.show("nsvisor", "MainPID"))

    def restarts(self) -> int:
        return int(self.manager.show("nsvisor", "NRestarts"))

    def active(self) -> bool:
        return self.manager.show("nsvisor", "ActiveState") == "active"

    def wait_for_restart(self, count: int) -> None:
        """Wait until systemd has started the daemon again, `count` times in all, and the workers are ready."""
        self.manager.wait_for(lambda: self.restarts() == count and self.active(), "systemd to restart the daemon")
        self.manager.wait_for(self.ready, "all workers to be ready")


@pytest.fixture
def service(manager: UserManager) -> Iterator[Service]:
    """The installed unit, started; afterwards stopped, and nothing may be left."""
    running = Service(manager)
    before = manager.processes()
    running.write(running.config, FLEET)
    manager.check("nsvisor", "install-unit")
    running.drop_in("[Service]\nStandardError=append:%h/nsvisor.log\n")
    manager.systemctl("start", "nsvisor")
    manager.wait_for(running.ready, "all workers to be ready")
    yield running
    manager.systemctl("stop", "nsvisor")
    assert manager.show("nsvisor", "Result") == "success", manager.log()
    manager.wait_for(lambda: not set(manager.processes()) - set(before), f"{manager.processes()} to be gone", 5)
    assert manager.systemctl("list-units", "--type=scope", "--no-legend", "nsvisor*") == ""
    assert not list(Path(f"/proc/{manager.pid}/root/run/user/{manager.user.uid}/nsvisor").glob("*.sock"))


def test_start_means_ready_and_workers_live_outside_the_service(service: Service) -> None:
    manager = service.manager
    assert service.active()
    assert manager.show("nsvisor", "StatusText")
    assert {name: one["state"] for name, one in service.instances().items()} == {
        "steady-0": "ready",
        "steady-1": "ready",
        "other": "ready",
    }
    own = manager.show("nsvisor", "ControlGroup")
    for pid in service.pids().values():
        placed = manager.check("cat", f"/proc/{pid}/cgroup").strip().removeprefix("0::")
        assert not placed.startswith(own)
        assert ".scope" in placed


def test_a_worker_that_crashes_comes_back_and_the_others_stay(service: Service) -> None:
    before = service.instances()
    service.manager.check("kill", "-KILL", str(before["other"]["pid"]))
    service.manager.wait_for(
        lambda: service.instances()["other"]["incarnation"] == before["other"]["incarnation"] + 1 and service.ready(),
        "the worker to return",
    )
    after = service.instances()
    assert after["other"]["last_exit"]["signal"] == "SIGKILL"
    assert after["other"]["pid"] != before["other"]["pid"]
    assert {after[name]["pid"] for name in ("steady-0", "steady-1")} == {
        before[name]["pid"] for name in ("steady-0", "steady-1")
    }


def test_reload_touches_only_what_changed(service: Service) -> None:
    before, daemon = service.pids(), service.main_pid()
    service.write(service.config, FLEET.replace("1001", "1002") + '[worker.new]\ncommand = ["sleep", "1003"]\n')
    service.manager.systemctl("reload", "nsvisor")
    service.manager.wait_for(lambda: "new" in service.instances() and service.ready(), "the new fleet to be ready")
    after = service.pids()
    assert {name for name in after if after[name] == before.get(name)} == {"steady-0", "steady-1"}
    assert service.main_pid() == daemon


def test_reload_of_a_faulty_file_fails_and_changes_nothing(service: Service) -> None:
    before = service.pids()
    service.write(service.config, FLEET.replace("instances", "instanzes"))
    done = service.manager.run("systemctl", "--user", "reload", "nsvisor")
    assert done.returncode != 0
    assert service.active()
    assert service.pids() == before


def test_after_kill_9_of_the_daemon_the_next_one_adopts_the_same_workers(service: Service) -> None:
    before, daemon = service.instances(), service.main_pid()
    for round_ in (1, 2):
        service.manager.check("kill", "-KILL", str(service.main_pid()))
        service.wait_for_restart(round_)
        after = service.instances()
        assert service.main_pid() != daemon
        for key in ("pid", "incarnation", "restarts"):
            assert {name: one[key] for name, one in after.items()} == {name: one[key] for name, one in before.items()}
    service.manager.check("kill", "-KILL", str(before["other"]["pid"]))  # an adopted worker is watched like any other
    service.manager.wait_for(
        lambda: service.instances()["other"]["incarnation"] == before["other"]["incarnation"] + 1 and service.ready(),
        "the adopted worker to return",
    )
    assert service.instances()["other"]["last_exit"]["signal"] == "SIGKILL"


def test_reexec_is_no_restart(service: Service) -> None:
    manager = service.manager
    before, daemon = service.pids(), service.main_pid()
    heard = int(manager.show("nsvisor", "WatchdogTimestampMonotonic"))
    assert f"(pid {daemon}), workers that went on: 3" in manager.check("nsvisor", "reexec")
    manager.systemctl("kill", "--kill-who=main", "--signal=USR2", "nsvisor")
    log = manager.home / "nsvisor.log"
    manager.wait_for(lambda: log.read_text().count('"daemon.reexec"') == 2, "the second one")
    manager.wait_for(service.active, "the service to be active, and not reloading")
    assert (service.main_pid(), service.restarts()) == (daemon, 0)
    assert service.pids() == before
    assert int(manager.show("nsvisor", "WatchdogTimestampMonotonic")) > heard
    own = manager.show("nsvisor", "ControlGroup")
    assert own in manager.check("cat", f"/proc/{daemon}/cgroup")
    manager.check("kill", "-KILL", str(before["other"]))  # watched as before
    manager.wait_for(lambda: service.pids()["other"] != before["other"] and service.ready(), "the worker to return")


def test_a_daemon_that_hangs_is_replaced_and_its_workers_stay(service: Service) -> None:
    service.drop_in("[Service]\nStandardError=append:%h/nsvisor.log\nWatchdogSec=2\nTimeoutAbortSec=2\nLimitCORE=0\n")
    service.manager.systemctl("restart", "nsvisor")  # the watchdog's interval is read at the start
    service.manager.wait_for(service.ready, "all workers to be ready")
    before = service.pids()
    service.manager.check("sleep", "3")  # longer than the interval: the daemon does report
    assert service.restarts() == 0
    service.manager.check("kill", "-STOP", str(service.main_pid()))
    service.wait_for_restart(1)
    assert service.pids() == before
