import json
import subprocess
import sys

import pytest

from supervisor.cli.main import main
from tests.cli.conftest import Served

DAEMON = """
import sys, time, trio
from supervisor.control.server import serve
from tests.control.fakes import FakeFleet

async def main():
    fleet = FakeFleet()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, fleet, sys.argv[1])
        print("ready", flush=True)
        await fleet.shutdown.wait()
        nursery.cancel_scope.cancel()

trio.run(main)
time.sleep(0.3)
print("slowly left", flush=True)
"""


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_verbs_print_the_instances_that_they_reach(nsv: Served, verb: str) -> None:
    outcome = nsv(verb, "web")
    assert outcome == (0, "web-0\nweb-1\n", "")
    assert nsv.fleet.asked == [(verb, ("web",), "operator")]
    assert nsv(verb, "--all").out.split() == ["web-0", "web-1", "job"]
    assert nsv.fleet.asked[1] == (verb, (), "operator")


@pytest.mark.parametrize(("verb", "condition"), [("start", "ready"), ("stop", "stopped")])
def test_wait_asks_for_what_the_verb_leads_to(nsv: Served, verb: str, condition: str) -> None:
    outcome = nsv(verb, "job", "--wait", "--timeout", "100ms")
    assert nsv.fleet.asked[1] == ("wait", ("job",), condition, 0.1)
    assert (outcome.status, outcome.out) == (1, "job\n")
    assert outcome.err == f"cannot see job {condition} within 100ms: try `nsvisor explain`\n"


def test_json(nsv: Served) -> None:
    assert json.loads(nsv("stop", "job", "--json").out) == {"instances": ["job"]}
    assert json.loads(nsv("kill", "web", "--json").out) == {"instances": ["web-0", "web-1"]}


def test_kill_takes_signals_in_every_spelling(nsv: Served) -> None:
    for spelling in ("TERM", "sigterm", "15"):
        assert nsv("kill", "web-1", "-s", spelling) == (0, "web-1\n", "")
    assert nsv.fleet.asked == [("kill", ("web-1",), "SIGTERM", "operator")] * 3
    assert nsv("kill", "web-1").status == 0
    assert nsv.fleet.asked[3] == ("kill", ("web-1",), "SIGKILL", "operator")


def test_pause_and_unpause(nsv: Served) -> None:
    assert nsv("pause", "web") == (0, "web-0\nweb-1\n", "")
    assert json.loads(nsv("unpause", "web-1", "--json").out) == {"instances": ["web-1"]}
    assert nsv.fleet.asked == [("pause", ("web-0", "web-1")), ("unpause", ("web-1",))]
    assert nsv("pause", "job") == (1, "", "cannot pause job: it is backoff, not running\n")
    assert nsv("unpause", "job").err == "cannot unpause job: it is not paused\n"
    assert nsv("pause").status == 2


def test_refusals_are_1(nsv: Served) -> None:
    assert nsv("kill", "job") == (1, "", "cannot send SIGKILL in state backoff\n")
    assert nsv("kill", "web", "-s", "FOO").err.startswith("cannot send 'FOO': no such signal")
    outcome = nsv("restart", "web")
    assert outcome.status == 1
    assert outcome.err.startswith("cannot answer POST /v1/restart: ZeroDivisionError(")


def test_wait(nsv: Served) -> None:
    outcome = nsv("wait", "--for", "stopped", "--timeout", "0s")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == "cannot see web-0, web-1, job stopped within 0s: try `nsvisor explain`\n"
    nsv.fleet.met.set()
    assert nsv("wait", "web") == (0, "", "")
    assert json.loads(nsv("wait", "web", "--json").out) == {"met": True, "missing": []}


def test_shutdown_waits_until_the_daemon_has_left(socket_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its socket is gone before the process is."""
    with subprocess.Popen([sys.executable, "-c", DAEMON, socket_path], stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == "ready\n"
        assert main(["--socket", socket_path, "shutdown", "--wait", "--timeout", "20s"]) == 0
        assert daemon.stdout.read() == "slowly left\n"
    assert capsys.readouterr() == ("", "")
    assert main(["--socket", socket_path, "shutdown", "--wait"]) == 4


def test_shutdown_without_wait_returns_at_once(nsv: Served) -> None:
    assert nsv("shutdown") == (0, "", "")
    assert nsv.fleet.shutdown.is_set()


def test_shutdown_as_json(nsv: Served) -> None:
    assert json.loads(nsv("shutdown", "--json").out).keys() == {"instances"}


def test_shutdown_in_vain(nsv: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nsv.fleet, "request_shutdown", lambda: None)
    outcome = nsv("shutdown", "--wait", "--timeout", "200ms")
    assert (outcome.status, outcome.err) == (
        1,
        "cannot see the daemon leave within 200ms: `nsvisor ps` shows who keeps it\n",
    )
