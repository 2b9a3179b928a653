"""A reload is done whole or not at all, touches what has to be touched, and leaves nothing behind."""

import json
import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

from tests.e2e.daemons import Daemon, matching, running, wait_until
from tests.program import Program

TWO = """
[worker.first]
command = ["sleep", "46001"]

[worker.second]
command = ["sleep", "46002"]
"""
LEAVES = TWO.replace("first", "added").replace("46001", "46003").replace("46002", "46004")  # first goes, second changes


def pids(daemon: Daemon) -> dict[str, object]:
    return {name: one["pid"] for name, one in daemon.instances().items()}


def refused(daemon: Daemon, text: str, *words: str) -> None:
    """It must be, and said in these words."""
    file = daemon.program.write("nsvisor.toml", text)
    before = pids(daemon)
    for dry_run in (True, False):
        status, answer = daemon.ask("POST", "/v1/reload", {"dry_run": dry_run})
        (problem,) = answer["error"]["problems"]
        assert status == 422
        assert all(word in problem["text"] for word in (str(file), *words)), problem
    assert pids(daemon) == before


def test_what_cannot_be_launched_is_refused_before_anything_is_touched(nsvisor: Program) -> None:
    with running(nsvisor, TWO) as daemon, socket.socket() as taken:
        for name in ("first", "second"):
            daemon.wait_state(name, "ready")
        absent = nsvisor.top / "absent"
        assert nsvisor.run("reload").returncode == 0  # nothing has changed, nothing fails
        refused(
            daemon, LEAVES + f"secrets = [{{ id = 'key', source = '{absent}' }}]\n", "worker.second.secrets.key", ":5:"
        )
        refused(daemon, LEAVES + "limits = { affinity = '8000' }\n", "worker.second", "no processor 8000", ":5:")
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        refused(daemon, f"[supervisor]\nmetrics = {{ listen = '{address}' }}\n" + LEAVES, "metrics.listen", "in use")
        assert daemon.records("worker.stopping") == []
        assert len(daemon.records("daemon.reload_failed")) == 3  # a dry run that fails is nobody's business
        nsvisor.write("nsvisor.toml", LEAVES)
        assert nsvisor.run("reload").returncode == 0
        daemon.wait_state("added", "ready")


DEAF = """
[worker.deaf]
command = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]
stop = { grace = "4s" }
"""


def test_who_asked_and_left_does_not_break_it_off(nsvisor: Program) -> None:
    with running(nsvisor, DEAF) as daemon:
        daemon.wait_state("deaf", "ready")
        file = nsvisor.state / "nsvisor" / "logs" / "deaf.log"
        wait_until(lambda: file.exists() and "up" in file.read_text(), "it to listen")
        nsvisor.write("nsvisor.toml", TWO)
        asking = nsvisor.popen("reload")
        daemon.wait_state("deaf", "stopping")
        asking.terminate()
        assert asking.wait(20) != 0
        daemon.wait_record("daemon.reloaded")
        assert sorted(daemon.instances()) == ["first", "second"]
        daemon.wait_state("second", "ready")


COUNTING = """
[worker.counting]
command = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.01; done"]
log = { keep = 3 }
"""


def test_where_output_goes_changes_with_no_restart_and_no_lost_line(nsvisor: Program) -> None:
    file = nsvisor.state / "nsvisor" / "logs" / "counting.log"

    def last() -> int:
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return int(lines[-1]["m"].split()[1]) if lines else 0

    with running(nsvisor, COUNTING) as daemon:
        daemon.wait_state("counting", "ready")
        pid = daemon.instance("counting")["pid"]
        for log in ("{ max_size = '1MiB' }", "{ when_full = 'drop' }", "{ keep = 2 }"):
            seen = last()
            wait_until(lambda seen=seen: last() > seen + 5, "more lines")  # type: ignore[misc]
            nsvisor.write("nsvisor.toml", COUNTING.replace("{ keep = 3 }", log))
            answer = daemon.post("/v1/reload")
            assert [(one["effect"], one["relaunch"]) for one in answer["changed"]] == [("live", False)]
        seen = last()
        wait_until(lambda: last() > seen + 5, "lines under the last one")
        assert daemon.instance("counting")["pid"] == pid
        numbers = [int(json.loads(line)["m"].split()[1]) for line in file.read_text().splitlines()]
        assert numbers == list(range(1, len(numbers) + 1))


STATES = """
[worker.failing]
command = ["false"]
restart = { delay = "1h", max_delay = "1h" }

[worker.down]
command = ["sleep", "46010"]

[worker.up]
command = ["sleep", "46011"]
"""


def test_the_diff_says_what_comes_of_each_change(nsvisor: Program) -> None:
    with running(nsvisor, STATES) as daemon:
        daemon.wait_state("failing", "backoff")
        for name in ("down", "up"):
            daemon.wait_state(name, "ready")
        daemon.post("/v1/stop", names=["down"])
        daemon.wait_state("down", "stopped")
        changed = STATES.replace('"false"', '"sleep", "46012"').replace("46010", "46013").replace("46011", "46014")
        nsvisor.write("nsvisor.toml", changed)
        for options in (["--dry-run"], []):
            answer = json.loads(nsvisor.run("reload", "--json", *options).stdout)
            effects = {one["instance"]: one["effect"] for one in answer["changed"]}
            assert effects == {"failing": "start", "down": "next start", "up": "restart"}
            assert [key["key"] for one in answer["changed"] for key in one["keys"]] == ["command"] * 3
        for name in ("failing", "up"):
            daemon.wait_state(name, "ready")
        assert daemon.instance("down")["state"] == "stopped"
        daemon.post("/v1/start", names=["down"])
        wait_until(lambda: matching("sleep", "46013"), "what was stopped to follow")


KEEPS = """
[supervisor]
adopt_timeout = "{timeout}"
[worker.w]
command = ["sh", "-c", "trap 'echo heard' USR1; trap '' TERM; echo up; while :; do sleep 0.05; done"]
stop = {{ signal = "{signal}", grace = "{grace}" }}
"""


def test_the_keeper_follows_too(nsvisor: Program) -> None:
    """How long to wait for a daemon, how to stop: of workers that run."""
    with running(nsvisor, KEEPS.format(timeout="1h", signal="SIGTERM", grace="1h")) as daemon:
        wait_until(lambda: "up" in nsvisor.run("logs", "w").stdout, "it to listen")
        pid = daemon.instance("w")["pid"]
        keeper = psutil.Process(daemon.keeper_pid())
        nsvisor.write("nsvisor.toml", KEEPS.format(timeout="0.2s", signal="SIGKILL", grace="0.2s"))
        daemon.post("/v1/reload")
        assert daemon.instance("w")["pid"] == pid
        daemon.kill()
        wait_until(lambda: not keeper.is_running() or keeper.status() == psutil.STATUS_ZOMBIE, "the keeper to give up")
        assert not psutil.pid_exists(pid)


STORM = """
[supervisor]
start_concurrency = {concurrency}
[worker.same]
command = ["sleep", "46020"]
[worker.{name}]
command = ["sleep", "46021"]
instances = {instances}
[worker.softly]
command = ["sleep", "46022"]
restart = {{ delay = "{delay}s" }}
log = {{ keep = {concurrency} }}
[worker.anew]
command = ["sleep", "46023"]
env = {{ TURN = "{turn}" }}
"""
TURNS = 100
SLACK = 10  # of what comes and goes: connections, threads, those that are about to leave


def storm(turn: int) -> str:
    return STORM.format(
        concurrency=2 + turn % 3,
        name="one" if turn % 5 < 3 else "two",
        instances=1 + turn % 2,
        delay=1 + turn % 4,
        turn=turn // 10,
    )


def census(daemon: Daemon) -> dict[str, int]:
    """What a leak would show in."""
    processes = {"daemon": psutil.Process(daemon.pid), "keeper": psutil.Process(daemon.keeper_pid())}
    return {
        **{f"{name} fds": len(os.listdir(f"/proc/{one.pid}/fd")) for name, one in processes.items()},
        **{f"{name} threads": one.num_threads() for name, one in processes.items()},
        "histories": len(os.listdir(daemon.program.state / "nsvisor" / "history")),
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="reads /proc/PID/fd of what is not dumpable")
def test_a_hundred_reloads_leave_nothing_behind(nsvisor: Program) -> None:
    with running(nsvisor, storm(0)) as daemon:

        def settled() -> bool:
            return all(one["state"] == "ready" for one in daemon.instances().values())

        wait_until(settled, "all to be up")
        same = daemon.instance("same")["pid"]
        memory: list[int] = []
        before: dict[str, int] = {}
        for turn in range(1, TURNS + 11):
            nsvisor.write("nsvisor.toml", storm(turn))
            if turn % 7 == 0:
                daemon.process.send_signal(signal.SIGHUP)
            daemon.post("/v1/reload")
            if turn in (10, 10 + TURNS):  # the same configuration but for TURN; by then all that is kept is there
                wait_until(settled, "all to be up")
                wait_until(lambda: len(matching("sleep", "46021")) == 1 + turn % 2, "those that left to be gone")  # noqa: B023
                memory.append(int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1]))
                if turn == 10:
                    before = census(daemon)
        wait_until(
            lambda: all(now <= before[what] + SLACK for what, now in census(daemon).items()),
            f"{census(daemon)} to be about {before}",
        )
        assert daemon.instance("same")["pid"] == same
        assert daemon.instance("same")["incarnation"] == 1
        pages = memory[1] - memory[0]
        assert pages * os.sysconf("SC_PAGE_SIZE") < 16 * 1024 * 1024
