"""`restart.standby`: the next incarnation's sandbox is built ahead, and nothing but its command is left to be done."""

import json
import os
import signal
import time

import psutil
import pytest

from tests.e2e.daemons import Daemon, Record, is_alive, matching, running, wait_until
from tests.program import Program

RESTART = '{ policy = "always", standby = true, delay = "100ms", max_delay = "200ms", reset_after = "100ms" }'
SHOW = "grep -E 'Seccomp:|NoNewPrivs|Cap|Uid' /proc/self/status; ls /proc/$$/fd; hostname; exec sleep 47001"
WEB = f"""
[supervisor]
log_level = "debug"

[worker.web]
command = ["sh", "-c", "{SHOW}"]
restart = {RESTART}
"""
FILED = f"""
[supervisor]
log_level = "debug"

[worker.web]
command = ["sh", "-c", "cat /file; exec sleep 47002"]
mounts = [{{ type = "bind", source = "TOP/file", target = "/file", options = ["ro"] }}]
restart = {RESTART}
"""


@pytest.fixture(params=["nsvisor", "root_nsvisor"])
def program(request: pytest.FixtureRequest) -> Program:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


def wait_ready(daemon: Daemon, number: int, count: int = 1) -> Record:
    """Wait until a standby of this number is held, for the so many-th time; and until a restart would be at once."""
    record = daemon.wait_record("standby.ready", incarnation=number, after=count - 1)
    wait_until(lambda: daemon.instance("web")["standby"] == "ready", "the standby to be seen")
    daemon.wait_record("worker.stable", incarnation=number - 1)
    return record


def crash(daemon: Daemon) -> float:
    """Kill the worker: when (wall clock)."""
    at = time.time()
    os.kill(daemon.instance("web")["pid"], signal.SIGKILL)
    return at


def stamp(record: Record) -> str:
    return str(record["timestamp"])


def printed(program: Program) -> list[str]:
    return program.run("logs", "web").stdout.splitlines()


def standby_pid(daemon: Daemon) -> int:
    """Of the sandbox that waits: the keeper's child that is neither the worker nor the process cloned ahead of any."""
    taken = {daemon.instance("web")["pid"]}
    found = [
        one.pid
        for one in psutil.Process(daemon.keeper_pid()).children()
        if one.pid not in taken and one.name() == "nsinit"
    ]
    (pid,) = found
    return pid


def test_a_crash_is_answered_by_what_was_built_before_it(program: Program) -> None:
    with running(program, WEB) as daemon:
        wait_ready(daemon, 2)
        assert [record["outcome"] for record in daemon.records("setup.phase", incarnation=2, phase="exec")] == []
        assert program.run("ps").stdout.split()[-1] == "ready"
        crash(daemon)
        daemon.wait_record("worker.ready", incarnation=2)
        exited = daemon.wait_record("worker.exited", incarnation=1)
        phases = daemon.records("setup.phase", incarnation=2)
        ahead = [record["phase"] for record in phases if record.get("standby")]
        assert all(stamp(record) < stamp(exited) for record in phases if record.get("standby"))
        assert [record["phase"] for record in phases if not record.get("standby")] == ["standby.wait", "exec"]
        first = [record["phase"] for record in daemon.records("setup.phase", incarnation=1)]
        assert [*ahead, "exec"] == first  # nothing is left out
        daemon.wait_record("standby.used", incarnation=2)
        wait_until(lambda: printed(program).count("web") == 2, "both to have printed")  # it is the last line
        lines = printed(program)
        half = len(lines) // 2
        assert lines[:half] == lines[half:]
        assert "Seccomp:\t2" in lines
        assert "NoNewPrivs:\t1" in lines
        assert "CapEff:\t0000000000000000" in lines
        assert [line for line in lines[:half] if line.isdigit()] == ["0", "1", "2"]
        launch = json.loads(program.run("inspect", "--json", "web").stdout)[0]["launches"][-1]
        assert launch["incarnation"] == 2
        assert 0 < launch["ahead_us"] < launch["duration_us"]
        assert launch["held_s"] > 0
        assert "ahead of its turn" in program.run("explain", "web").stdout
        assert "standby.wait" in program.run("plan", "web").stdout
        assert len(matching("sleep", "47001")) <= 1
        wait_ready(daemon, 3)
        status, body = daemon.ask("POST", "/v1/restart", {"names": ["web"]})
        assert status == 200, body
        daemon.wait_record("standby.used", incarnation=3)
        wait_ready(daemon, 4)
    assert matching("sleep", "47001") == []


def test_what_has_changed_is_not_used(nsvisor: Program) -> None:
    file = nsvisor.write("file", "old\n")
    text = FILED.replace("TOP", str(nsvisor.top))
    with running(nsvisor, text) as daemon:
        wait_ready(daemon, 2)
        nsvisor.write("new", "new\n").rename(file)
        crash(daemon)
        assert "another file" in daemon.wait_record("standby.dropped", incarnation=2)["reason"]
        wait_until(lambda: printed(nsvisor) == ["old", "new"], "the new file to be shown")
        wait_ready(daemon, 3)
        nsvisor.write("nsvisor.toml", text.replace('"100ms", max', '"150ms", max'))  # nothing that is built from it
        assert nsvisor.run("reload").returncode == 0
        assert daemon.instance("web")["standby"] == "ready"
        nsvisor.write("nsvisor.toml", text.replace("47002", "47003"))
        assert nsvisor.run("reload").returncode == 0
        daemon.wait_record("standby.dropped", incarnation=3)
        wait_until(lambda: matching("sleep", "47003"), "the new command")
        wait_ready(daemon, 4)
        os.kill(standby_pid(daemon), signal.SIGKILL)
        failed = daemon.wait_record("standby.failed", incarnation=4)
        assert (failed["phase"], failed["errno"]) == ("standby.wait", "SIGKILL")
        assert "killed while it waited" in failed["hint"]
        assert daemon.instance("web")["state"] == "ready"
        wait_ready(daemon, 4, count=2)
        pid = standby_pid(daemon)
        daemon.post("/v1/stop", names=["web"])
        daemon.wait_state("web", "stopped")
        wait_until(lambda: not is_alive(pid), "the standby to be gone")
        assert daemon.instance("web")["standby"] == "no"
        assert daemon.records("worker.launching", incarnation=5) == []


def test_daemons_and_keepers_come_and_go(nsvisor: Program) -> None:
    with running(nsvisor, WEB) as daemon:
        wait_ready(daemon, 2)
        worker, standby = daemon.instance("web")["pid"], standby_pid(daemon)
        daemon.kill()
        wait_until(lambda: not is_alive(standby), "the standby to notice")
        with running(nsvisor, WEB) as second:
            wait_until(lambda: second.instance("web")["pid"] == worker, "the worker to go on")
            assert second.wait_record("standby.dropped", incarnation=2)["reason"] == "the daemon that held it is gone"
            assert second.records("worker.stray") == []
            second.wait_record("standby.ready", incarnation=2, after=1)
            standby = standby_pid(second)
            done = nsvisor.run("reexec", timeout_s=60)
            assert done.returncode == 0, done.stderr
            assert not is_alive(standby)
            second.wait_record("standby.ready", incarnation=2, after=2)
            assert second.instance("web")["pid"] == worker
            standby = standby_pid(second)
            os.kill(second.keeper_pid(), signal.SIGKILL)
            wait_until(lambda: not is_alive(standby), "the standby to be gone")
            second.wait_record("keeper.replaced")
            wait_until(lambda: second.instance("web")["standby"] == "ready", "one of the next keeper's")
            wait_until(lambda: len(matching("sleep", "47001")) == 1, "one copy of the command")
    assert matching("sleep", "47001") == []
