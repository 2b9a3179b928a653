"""`logs` and `explain` of a real daemon: one timeline, across rotations, restarts and the daemon's death."""

import re
import subprocess
import xml.etree.ElementTree as ET

from tests.e2e.daemons import killed_in_the_end, running, wait_until
from tests.program import Program

FLAKY = """
[worker.flaky]
command = ["sh", "-c", "echo out; sleep 0.1; echo err >&2; exit 3"]
restart = { policy = "always", delay = "0.2s", factor = 1, jitter = 0 }
"""
CHATTY = """
[worker.chatty]
command = ["sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exec sleep 1000"]
autostart = false
log = { max_size = "4096", keep = 1000 }
stop = { grace = "1s" }
"""
ORDER = [
    r"flaky \* flaky#2 is launched",
    r"flaky \* flaky#2: sandbox built in .* ms",
    r"flaky \| out",
    r"flaky \| err",
    r"flaky \* warning: flaky#2 ended \(exit\) with exit code 3, after .*",
    r"flaky \* warning: flaky#2 failed 2 times and is started again in 0.2 s",
    r"flaky \* flaky#3 is launched",
]


def test_set_up_output_exit_backoff_set_up(nsvisor: Program) -> None:
    with running(nsvisor, FLAKY) as daemon:
        daemon.wait_record("setup.completed", instance="flaky", incarnation=3)
        lines = nsvisor.run("logs", "--all", "flaky").stdout.splitlines()
        assert lines[0].startswith("nsvisor * nsvisor ")
        rest = iter(lines)
        for wanted in ORDER:
            assert any(re.fullmatch(wanted, line) for line in rest), (wanted, lines)
        clone = nsvisor.run("logs", "--phase", "clone", "--incarnation", "1", "flaky").stdout
        assert re.fullmatch(r"flaky \* flaky#1: clone .* ok after .* ms(: done ahead)?\n", clone)
        daemon.kill()
        assert nsvisor.run("logs", "--all", "flaky").stdout.splitlines()[: len(lines)] == lines
        daemon.process = nsvisor.start_daemon(FLAKY)
        daemon.stop()


def test_the_past_is_explained_after_the_daemon(nsvisor: Program) -> None:
    with running(nsvisor, FLAKY) as daemon:
        daemon.wait_record("worker.exited", instance="flaky", incarnation=3)
        said = nsvisor.run("explain", "flaky").stdout
        assert re.search(r"; usually [0-9.]+(us|ms) \(median of \d+\)\n", said)
        assert "Last lines of stderr of #" in said
        daemon.kill()
        alone = nsvisor.run("explain", "flaky")
        assert alone.returncode == 0
        assert alone.stdout.startswith("No daemon answers. flaky, as its files tell: it ")
        assert "  #1  " in alone.stdout
        assert (
            "flaky#1 failed 1 times and is started again in 0.2 s" in nsvisor.run("logs", "--level", "warning").stdout
        )
        picture = nsvisor.run("explain", "flaky", "--svg", "-").stdout
        assert ET.fromstring(picture.encode()).tag.endswith("svg")  # noqa: S314 our own
        daemon.process = nsvisor.start_daemon(FLAKY)
        assert "  #1  " in nsvisor.run("explain", "flaky", "-n", "20").stdout
        daemon.stop()


def test_follow_loses_nothing_while_files_are_rotated(nsvisor: Program) -> None:
    with running(nsvisor, CHATTY) as daemon:
        follower = nsvisor.popen("logs", "-f", "--all", "chatty", stdout=subprocess.PIPE)
        with killed_in_the_end(follower) as process, follower:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("nsvisor * ")
            daemon.post("/v1/start", names=["chatty"])
            got = []
            for line in process.stdout:
                if line.startswith("chatty | "):
                    got.append(line)
                if line == "chatty | line 2999\n":
                    process.kill()
        assert got == [f"chatty | line {number}\n" for number in range(3000)]
        rotated = nsvisor.state / "nsvisor" / "logs" / "chatty.log.9"
        wait_until(rotated.exists, "rotations")
