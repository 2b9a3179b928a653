"""The keeper is SIGKILLed where workers have a scope that would end them: they outlive it; and never are there two."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.accounts import Account
from tests.e2e.daemons import matching
from tests.e2e.test_systemd_user import Service
from tests.e2e.tracer import traced
from tests.vehicles.user_manager import UserManager, cannot_start, user_manager

FLEET = """
[worker.plain]
command = ["sleep", "42001"]

[worker.limited]
command = ["sleep", "42002"]
limits = { nofile = 64 }

[worker.first]
init = false
command = ["sleep", "42003"]
stop = { grace = "0.1s" }

[worker.coded]
command = ["sh", "-c", "trap 'exit 7' USR1; echo up; while :; do sleep 0.05; done"]

[worker.tied]
command = ["sleep", "42004"]
rootfs = { kind = "overlay", lower = ["/usr"], upper = "%s/upper" }
restart = { delay = "0.1s" }
"""
RELEASED = ("plain", "limited", "first", "coded")


class Kept(Service):
    """With what its daemons say of keepers."""

    def records(self, event: str) -> list[dict[str, Any]]:
        lines = (self.manager.home / "nsvisor.log").read_text().splitlines()
        found = (json.loads(line) for line in lines if line.startswith("{") and line.endswith("}"))
        return [record for record in found if record["event"] == event]

    def keeper(self) -> int:
        """Of the one that takes launches now."""
        return int((self.records("keeper.started")[-1])["pid"])

    def last_exit(self, name: str, incarnation: int) -> dict[str, Any]:
        """How that incarnation ended, once it has and the next one is up."""
        self.manager.wait_for(
            lambda: self.instances()[name]["incarnation"] > incarnation and self.ready(), f"{name} to be back"
        )
        found: dict[str, Any] = self.instances()[name]["last_exit"]
        return found

    def alive(self, *pids: int) -> list[int]:
        return [pid for pid in pids if pid in self.manager.processes()]

    def kill_both(self) -> None:
        """SIGKILL for the keeper and its daemon, which starts no other one meanwhile."""
        keeper, daemon = str(self.keeper()), str(self.main_pid())
        self.manager.check("kill", "-STOP", daemon)
        self.manager.check("kill", "-KILL", keeper)
        self.manager.check("kill", "-KILL", daemon)

    def count(self, word: str) -> int:
        """How many workloads have this word in their command line."""
        return sum(words.endswith(f"sleep {word}") for words in self.manager.processes().values())


@pytest.fixture(scope="module")
def manager(unprivileged: Account, program_bin: Path) -> Iterator[UserManager]:
    reason = cannot_start()
    if reason is not None:
        pytest.skip(reason)
    with user_manager(unprivileged, [program_bin, "/usr/local/bin", "/usr/bin", "/bin"]) as running:
        yield running


@pytest.fixture
def service(manager: UserManager) -> Iterator[Kept]:
    running = Kept(manager)
    before = manager.processes()
    log = manager.home / "nsvisor.log"
    log.unlink(missing_ok=True)
    manager.check("mkdir", "-p", str(manager.home / "upper"))
    running.write(running.config, FLEET % manager.home)
    manager.check("nsvisor", "install-unit")
    running.drop_in("[Service]\nStandardError=append:%h/nsvisor.log\n")
    manager.systemctl("start", "nsvisor")
    manager.wait_for(running.ready, "all workers to be ready")
    yield running
    manager.systemctl("stop", "nsvisor")
    manager.wait_for(lambda: not set(manager.processes()) - set(before), f"{manager.processes()} to be gone", 10)
    manager.wait_for(
        lambda: manager.systemctl("list-units", "--type=scope", "--no-legend", "nsvisor*") == "", "the scopes to go"
    )
    assert not list((manager.home / ".local/state/nsvisor/keepers").iterdir())


def test_workers_outlive_it_and_are_handed_to_the_next_one(service: Kept) -> None:
    manager = service.manager
    before, old = service.instances(), service.keeper()
    manager.check("kill", "-KILL", str(old))
    manager.wait_for(lambda: service.records("keeper.replaced") != [] and service.ready(), "a new keeper")
    manager.wait_for(lambda: service.instances()["tied"]["incarnation"] == 2 and service.ready(), "tied to be back")
    after = service.instances()
    for name in RELEASED:
        for key in ("pid", "incarnation", "restarts"):
            assert after[name][key] == before[name][key], (name, key)
    assert service.alive(before["tied"]["pid"]) == []  # its lock went with the keeper, and so did it
    # What the new one was given, it gives to the next daemon.
    manager.check("kill", "-KILL", str(service.main_pid()))
    service.wait_for_restart(1)
    adopted = service.instances()
    assert {name: adopted[name]["pid"] for name in RELEASED} == {name: before[name]["pid"] for name in RELEASED}
    assert service.records("keeper.adopted")[-1]["pid"] == service.keeper() != old
    # It is nobody's child any more, and yet its status is known to the letter.
    manager.check("nsvisor", "kill", "--signal", "USR1", "coded")
    manager.check("nsvisor", "kill", "--signal", "SEGV", "limited")
    manager.check("kill", "-KILL", str(before["first"]["pid"]))
    assert service.last_exit("coded", 1)["code"] == 7
    assert service.last_exit("limited", 1)["signal"] == "SIGSEGV"
    assert service.last_exit("first", 1)["signal"] == "SIGKILL"
    assert service.instances()["plain"]["pid"] == before["plain"]["pid"]
    assert [service.count(str(word)) for word in (42001, 42002, 42003)] == [1, 1, 1]


def test_a_daemon_that_was_re_executed_gives_the_next_one_a_scope_too(service: Kept) -> None:
    """It has the number that it had before, and the scope of the dead keeper is there as long as its workers are."""
    manager = service.manager
    before, old = service.instances(), service.keeper()
    manager.check("nsvisor", "reexec")
    manager.check("kill", "-KILL", str(old))
    manager.wait_for(lambda: service.records("keeper.replaced") != [] and service.ready(), "a new keeper")
    assert service.records("keeper.scope_failed") == []
    assert service.records("keeper.started")[-1]["scope"] != service.records("keeper.started")[0]["scope"] != ""
    manager.check("kill", "-KILL", str(service.main_pid()))  # which ends all that is in the service's own cgroup
    service.wait_for_restart(1)
    assert {name: service.pids()[name] for name in RELEASED} == {name: before[name]["pid"] for name in RELEASED}


def test_without_a_keeper_and_a_daemon_they_are_ended_before_there_are_second_copies(service: Kept) -> None:
    manager = service.manager
    before = service.pids()
    (held,) = matching("sleep", "42001")
    with traced(held, alive=True) as tracer:
        service.kill_both()
        manager.wait_for(lambda: service.restarts() == 1 and service.active(), "systemd to restart the daemon")
        assert service.instances()["plain"]["state"] == "unkillable"  # it is there, and nobody can be adopted
        assert service.records("worker.unkillable")[-1]["instance"] == "plain"
        assert service.count("42001") == 1
        assert service.count("42002") == 1
        tracer.kill()
        service.wait_for_restart(1)
    after = service.pids()
    assert not set(after.values()) & set(before.values())
    assert service.alive(*before.values()) == []
    assert [service.count(str(word)) for word in (42001, 42002, 42003, 42004)] == [1, 1, 1, 1]
    strays = {record["name"].partition("#")[0] for record in service.records("worker.stray")}
    assert strays >= set(RELEASED)


def test_without_a_next_daemon_they_are_ended_too(service: Kept) -> None:
    manager = service.manager
    before = service.pids()
    service.drop_in("[Service]\nStandardError=append:%h/nsvisor.log\nRestart=no\n")  # as after too many restarts
    service.kill_both()
    manager.wait_for(lambda: manager.show("nsvisor", "ActiveState") == "failed", "systemd to give up")
    assert service.alive(*before.values()) == []
    assert {record["name"].partition("#")[0] for record in service.records("worker.stray")} == set(RELEASED)
