"""The wall clock set a year ahead, then back by more than a day, under a fleet: it goes by the monotonic clock.

Only for a guest with a kernel, and so a clock, of its own: User-Mode Linux.
"""

import itertools
import json
import os
import re
import subprocess
import time
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from tests.vehicles.guests.machine import BIN, UID, Done, UserService, ask, make_user, run, wait_for

YEAR_S, DAY_S = 365 * 86400.0, 86400.0
DELAY_S = 1.0  # of the backoff that is waited for
LATE_S = 30.0  # of a guest whose host is busy
FLEET = """
[defaults]
restart = {{ policy = "never" }}

[worker.stable]
command = ["sleep", "1000"]

[worker.patient]
command = ["false"]
restart = {{ policy = "always", delay = "1h", max_delay = "1h", jitter = 0.0 }}

[worker.again]
command = ["sh", "-c", "read up idle </proc/uptime; echo $up >>/mnt/runs; exit 1"]
mounts = [{{ type = "bind", source = "{top}/told", target = "/mnt", options = ["rw"] }}]
restart = {{ policy = "always", delay = "{delay_s}s", factor = 1.0, jitter = 0.0 }}

[worker.probed]
command = ["sleep", "1000"]
mounts = [{{ type = "bind", source = "{top}/told", target = "/mnt", options = ["rw"] }}]
health = {{ kind = "command", command = ["sh", "-c", "echo >>/mnt/seen"], interval = "0.5s", timeout = "60s" }}

[worker.talker]
command = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo \\"line $i {filler}\\"; sleep 0.05; done"]
log = {{ max_size = "4KiB", max_age = "1h", keep = 100 }}
"""
STEADY = ("stable", "probed", "talker", "patient")  # none of them is to have another incarnation


class _Fleet:
    """The ordinary user's daemon, which no service manager watches, and `nsvisor logs -f` beside it."""

    def __init__(self) -> None:
        make_user()
        self.top = UserService.home / "clock"
        for name in ("", "run", "state", "config", "told"):
            (self.top / name).mkdir(mode=0o700)
            os.chown(self.top / name, UID, UID)
        self.environ = UserService().environ() | {
            f"XDG_{kind}": str(self.top / name)
            for kind, name in (("RUNTIME_DIR", "run"), ("STATE_HOME", "state"), ("CONFIG_HOME", "config"))
        }
        config = self.top / "nsvisor.toml"
        config.write_text(FLEET.format(top=self.top, delay_s=DELAY_S, filler="x" * 100))
        self.log, self.followed = self.top / "daemon.log", self.top / "followed"
        self.daemon = self._start(self.log, "--config", str(config), "daemon")
        wait_for(self._is_up, "the fleet")
        self.follower = self._start(self.followed, "logs", "--follow", "talker", "stable")
        wait_for(lambda: self.numbers(self.followed.read_text()), "the first lines")

    def _start(self, out: Path, *words: str) -> "subprocess.Popen[bytes]":
        with out.open("wb") as file:
            return subprocess.Popen(
                [BIN / "nsvisor", *words], stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=self.environ,
                user=UID, group=UID, extra_groups=[], cwd="/",
            )  # fmt: skip

    def _is_up(self) -> bool:
        try:
            states = {name: one["state"] for name, one in self.instances().items()}
        except OSError:
            return False
        wanted = {"stable": "ready", "probed": "ready", "talker": "ready", "patient": "backoff"}
        return all(states[name] == state for name, state in wanted.items()) and bool(self.probes() and self.runs())

    def command(self, *words: str) -> Done:
        return run(str(BIN / "nsvisor"), *words, env=self.environ, uid=UID)

    def instances(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in ask(self.top / "run/nsvisor/control.sock", "/v1/instances")}

    def probes(self) -> int:
        """How many of `probed` there were."""
        seen = self.top / "told/seen"
        return seen.stat().st_size if seen.exists() else 0

    def runs(self) -> list[float]:
        """When `again` ran, by a clock that nobody sets."""
        file = self.top / "told/runs"
        return [float(word) for word in file.read_text().split()] if file.exists() else []

    def numbers(self, said: str) -> list[int]:
        """Of the talker's lines."""
        return [int(number) for number in re.findall(r"line ([0-9]+) x", said)]


@cache
def _fleet() -> _Fleet:
    return _Fleet()


@cache
def _before() -> tuple[float, float, dict[str, dict[str, Any]]]:
    """Wall clock, monotonic clock, instances."""
    return time.time(), time.monotonic(), _fleet().instances()


def _set_forward(seconds: float) -> None:
    assert "nsvisor_work=" in Path("/proc/cmdline").read_text(), "this is not a kernel of its own"
    done = run("date", "--set", f"@{time.time() + seconds:.3f}")
    assert done.returncode == 0, done.stderr


def _goes_on() -> None:
    """Nobody was restarted, nothing fired early, probes and output come, records have the clock's time."""
    fleet = _fleet()
    _, then, before = _before()
    probes, runs, at = fleet.probes(), len(fleet.runs()), fleet.log.stat().st_size
    wait_for(lambda: fleet.probes() >= probes + 2, "the next probes", LATE_S)
    wait_for(lambda: len(fleet.runs()) > runs, "the next run", LATE_S)
    now = fleet.instances()
    passed_s = time.monotonic() - then
    for name in STEADY:
        for key in ("incarnation", "pid", "state", "restarts"):
            assert now[name][key] == before[name][key], (name, key, before[name], now[name])
    assert now["probed"]["health"] == "healthy", now["probed"]
    left_s = before["patient"]["next_start_in_s"] - passed_s
    assert abs(now["patient"]["next_start_in_s"] - left_s) < LATE_S, (now["patient"], left_s)
    up_s = before["stable"]["uptime_s"] + passed_s
    assert abs(now["stable"]["uptime_s"] - up_s) < LATE_S, (now["stable"], up_s)
    pauses_s = [after - earlier for earlier, after in itertools.pairwise(fleet.runs())]
    assert all(DELAY_S - 0.1 <= pause_s < DELAY_S + LATE_S for pause_s in pauses_s), pauses_s
    told = [json.loads(line) for line in fleet.log.read_text()[at:].splitlines()]
    assert told
    assert abs(datetime.fromisoformat(told[-1]["timestamp"]).timestamp() - time.time()) < LATE_S, told[-1]


def check_a_year_ahead() -> None:
    _before()
    _set_forward(YEAR_S)
    _goes_on()


def check_and_back_by_more_than_a_day() -> None:
    _set_forward(-DAY_S - 3723.4)
    _goes_on()


def check_commands_answer() -> None:
    fleet = _fleet()
    listed = fleet.command("ps")
    assert listed.returncode == 0, listed
    (line,) = (line for line in listed.stdout.splitlines() if line.startswith("stable"))
    assert re.search(r"[0-9]s", line.split()[3]), line
    newest = fleet.numbers(fleet.followed.read_text())[-1]
    recent = fleet.numbers(fleet.command("logs", "talker", "--since", "1min").stdout)
    assert recent, "no line of the last minute"
    assert recent[-1] >= newest, (recent[-1], newest)


def check_no_line_was_lost() -> None:
    """Of a log that is rotated by age at the jump, and by size all the time."""
    fleet = _fleet()
    numbers = fleet.numbers(fleet.command("logs", "talker").stdout)
    assert numbers == list(range(1, len(numbers) + 1)), numbers

    wait_for(lambda: max(fleet.numbers(fleet.followed.read_text())) >= numbers[-1], "logs --follow", LATE_S)
    followed = sorted(fleet.numbers(fleet.followed.read_text()))  # by their times: those of one look may change places
    assert followed == list(range(followed[0], followed[-1] + 1)), followed


def check_it_ends() -> None:
    fleet = _fleet()
    wall, then, _ = _before()
    _set_forward(wall + time.monotonic() - then - time.time())
    for process in (fleet.follower, fleet.daemon):
        process.terminate()
        process.wait(60)
    assert fleet.daemon.returncode == 0, fleet.log.read_text()
