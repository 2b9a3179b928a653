"""The daemon is SIGKILLed: the next one goes on with the same workers, and without one nothing stays."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.e2e.daemons import is_alive, matching, running, wait_until
from tests.e2e.test_stopping import STUCK, hang_in_id_map
from tests.program import Program

FLEET = """
[supervisor]
adopt_timeout = "20s"

[worker.counter]
command = ["sh", "-c", "n=0; while true; do n=$((n + 1)); echo $n; sleep 0.03; done"]

[worker.crashy]
command = ["sh", "-c", "[ -e /data/stay ] && exec sleep 1000; exit 1"]
mounts = [{ type = "bind", source = "TOP", target = "/data", options = ["ro"] }]
restart = { delay = "0.1s", factor = 1.0 }

[worker.leaver]
command = ["sh", "-c", "while [ ! -e /data/leave ]; do sleep 0.05; done; exit 7"]
mounts = [{ type = "bind", source = "TOP", target = "/data", options = ["ro"] }]
restart = { policy = "never" }

[worker.idle]
command = ["sleep", "42001"]

[worker.later]
command = ["sleep", "42002"]
restart = { delay = "0.1s" }
"""
DEAF = """
[worker.deaf]
command = ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"]
stop = { grace = "3s" }
"""


def numbers(program: Program) -> list[int]:
    """What the counter's log holds."""
    log = program.state / "nsvisor" / "logs" / "counter.log"
    return [int(json.loads(line)["m"]) for line in log.read_text().splitlines()]


def size(program: Program) -> int:
    return len(numbers(program))


def wait_for_output(program: Program) -> None:
    """Return right after a line was written: the next is some time away."""
    before = size(program)
    wait_until(lambda: size(program) > before, "output")


@pytest.mark.parametrize("who", ["nsvisor", "root_nsvisor"])
def test_the_next_daemon_goes_on_with_everything(who: str, request: pytest.FixtureRequest) -> None:
    program: Program = request.getfixturevalue(who)
    fleet = FLEET.replace("TOP", str(program.folder("data")))
    with running(program, fleet) as first:
        for name in ("counter", "leaver", "idle", "later"):
            first.wait_state(name, "ready")
        first.post("/v1/stop", names=["idle"])
        first.wait_state("idle", "stopped")
        first.wait_record("worker.exited", instance="crashy", after=2)
        (program.top / "data" / "stay").touch()
        first.wait_state("crashy", "ready")
        keeper = first.keeper_pid()
        before = first.instances()
        wait_for_output(program)
        first.kill()
    (program.top / "data" / "leave").touch()
    os.kill(before["later"]["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(before["leaver"]["pid"]), "one to leave")
    with running(program, fleet) as second:
        assert second.records("keeper.adopted")[0]["pid"] == keeper
        leaver = second.wait_state("leaver", "failed")
        assert (leaver["last_exit"]["cause"], leaver["last_exit"]["code"]) == ("exit", 7)
        wait_until(lambda: second.instance("later")["incarnation"] == 2, "the killed one to be back")
        assert second.instance("later")["last_exit"]["signal"] == "SIGKILL"
        assert second.instance("later")["restarts"] == 1
        after = second.instances()
        for key in ("pid", "incarnation", "restarts", "failures", "started_at", "state"):
            for name in ("counter", "crashy"):
                assert after[name][key] == before[name][key], (name, key)
        assert before["crashy"]["restarts"] >= 3
        assert (after["idle"]["state"], after["idle"]["stopped_by"]) == ("stopped", "operator")
        wait_for_output(program)
        wait_for_output(program)
    found = numbers(program)
    assert found == list(range(1, len(found) + 1))
    assert matching("sleep", "42002") == []


def test_twice_in_a_row_and_then_an_orderly_stop(nsvisor: Program) -> None:
    fleet = FLEET.replace("TOP", str(nsvisor.folder("data")))
    with running(nsvisor, fleet) as daemon:
        daemon.wait_state("later", "ready")
        pid = daemon.instance("later")["pid"]
        daemon.kill()
    for _ in range(2):
        with running(nsvisor, fleet) as daemon:
            assert daemon.wait_state("later", "ready")["pid"] == pid
            daemon.kill()
    with running(nsvisor, fleet) as daemon:
        keeper = daemon.keeper_pid()
        assert daemon.stop() == 0
    assert not is_alive(pid)
    assert not is_alive(keeper)
    assert sorted(path.name for path in (nsvisor.runtime / "nsvisor").iterdir()) == ["daemon.lock"]


def test_without_a_next_daemon_nothing_stays(nsvisor: Program) -> None:
    deaf = DEAF.replace("3s", "1s")
    fleet = FLEET.replace("TOP", str(nsvisor.folder("data"))).replace('"20s"', '"2s"') + deaf
    with running(nsvisor, fleet) as daemon:
        for name in ("counter", "later", "deaf"):
            daemon.wait_state(name, "ready")
        keeper = daemon.keeper_pid()
        pids = [one["pid"] for name, one in daemon.instances().items() if name != "crashy"]
        daemon.kill()
    assert all(map(is_alive, pids))
    wait_until(lambda: not is_alive(keeper), "the keeper to leave", 8)
    assert not any(map(is_alive, pids))


def test_daemon_and_keeper_killed_at_once(nsvisor: Program) -> None:
    fleet = FLEET.replace("TOP", str(nsvisor.folder("data")))
    with running(nsvisor, fleet) as daemon:
        for name in ("counter", "leaver", "idle", "later"):
            daemon.wait_state(name, "ready")
        pids = [one["pid"] for one in daemon.instances().values() if one["pid"]]
        os.kill(daemon.keeper_pid(), signal.SIGKILL)
        daemon.kill()
    wait_until(lambda: not any(map(is_alive, pids)), "the workers to be gone", 2)
    assert matching("sleep", "42001") == []
    with running(nsvisor, fleet) as daemon:
        daemon.wait_state("later", "ready")
        assert len(matching("sleep", "42002")) == 1


def test_killed_during_a_set_up(nsvisor: Program) -> None:
    hang_in_id_map(nsvisor)
    fleet = STUCK.format(timeout="60s").replace("1000", "42003")
    with running(nsvisor, fleet) as first:
        wait_until(lambda: matching("sleep", "4711"), "the set-up to hang")
        pid = first.instance("stuck")["pid"]
        helpers = matching("sleep", "4711")
        first.kill()
    for helper in helpers:
        os.kill(helper, signal.SIGKILL)
    for name in ("newuidmap", "newgidmap"):
        (nsvisor.top / "bin" / name).write_text(f'#!/bin/sh\nexec /usr/bin/{name} "$@"\n')
    with running(nsvisor, fleet) as second:
        after = second.wait_state("stuck", "ready")
        assert (after["incarnation"], after["restarts"]) == (2, 0)
        assert after["last_exit"]["cause"] == "interrupted"
        assert not is_alive(pid)
        assert len(matching("sleep", "42003")) == 1


def test_killed_while_it_stopped_its_workers(nsvisor: Program) -> None:
    fleet = DEAF + '[worker.idle]\ncommand = ["sleep", "42001"]\n[worker.hand]\ncommand = ["sleep", "42004"]\n'
    with running(nsvisor, fleet) as first:
        for name in ("deaf", "idle", "hand"):
            first.wait_state(name, "ready")
        wait_until(lambda: "deaf" in nsvisor.run("logs", "deaf").stdout, "it to be deaf")
        first.post("/v1/stop", names=["hand"])
        first.wait_state("hand", "stopped")
        first.process.send_signal(signal.SIGTERM)
        first.wait_state("idle", "stopped")
        first.kill()
    with running(nsvisor, fleet) as second:  # what was only stopped for the shutdown is wanted
        second.wait_state("idle", "ready")
        wait_until(lambda: second.instance("deaf")["incarnation"] == 2, "the deaf one to be replaced")
        assert second.instance("hand")["stopped_by"] == "operator"
        assert second.instance("hand")["state"] == "stopped"


def test_a_changed_configuration_applies_to_what_was_adopted(nsvisor: Program) -> None:
    fleet = '[worker.same]\ncommand = ["sleep", "42005"]\n[worker.changed]\ncommand = ["sleep", "42006"]\n'
    gone = '[worker.gone]\ncommand = ["sleep", "42007"]\n'
    with running(nsvisor, fleet + gone) as first:
        for name in ("same", "changed", "gone"):
            first.wait_state(name, "ready")
        before = first.instances()
        first.kill()
    with running(nsvisor, fleet.replace("42006", "42008")) as second:
        wait_until(lambda: matching("sleep", "42008"), "the changed worker")
        assert second.instance("same")["pid"] == before["same"]["pid"]
        assert second.records("worker.stray")[0]["name"] == "gone#1"
        assert matching("sleep", "42007") == []
        assert matching("sleep", "42006") == []


def test_output_while_nobody_reads_is_not_lost(nsvisor: Program) -> None:
    script = "import sys, time; time.sleep(1); [print(n, 'x' * 100, flush=True) for n in range(3000)]; time.sleep(1000)"
    fleet = f'[worker.counter]\ncommand = ["python3", "-c", {json.dumps(script)}]\n'
    with running(nsvisor, fleet) as first:
        first.wait_state("counter", "ready")
        first.kill()
    (pid,) = matching("python3", "-c", script)
    wait_until(lambda: psutil.Process(pid).io_counters().write_chars > 60_000, "the pipe to be full")
    with running(nsvisor, fleet) as second:
        log = Path(str(second.instance("counter")["log_path"]))
        wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 3000, "all lines")
        found = [int(json.loads(line)["m"].split()[0]) for line in log.read_text().splitlines()]
        assert found == list(range(3000))


def test_both_killed_where_no_pid_namespace_ends_the_tree(nsvisor: Program) -> None:
    names = ("42011", "42012", "42013")
    script = "setsid sh -c 'sleep 42011 & setsid sleep 42012 & exec sleep 42013' & wait"
    with running(
        nsvisor, f'[worker.a]\ncommand = ["sh", "-c", "{script}"]\nnamespaces = {{ pid = false }}\n'
    ) as daemon:
        wait_until(lambda: all(matching("sleep", name) for name in names), "its whole tree")
        os.kill(daemon.keeper_pid(), signal.SIGKILL)
        daemon.kill()
    wait_until(lambda: not any(matching("sleep", name) for name in names), "the tree to be gone", 5)
