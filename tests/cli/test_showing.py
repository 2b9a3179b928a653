"""ps, inspect, stats, events, explain, plan, reload, completion against a control server."""

import json
import subprocess
import sys

import pytest

from supervisor.cli.group import VERBS
from supervisor.spec.errors import Problem
from tests.cli.conftest import Served


def test_ps_is_a_table_of_plain_text_in_a_pipe(nsv: Served) -> None:
    status, out, err = nsv("ps")
    head, *rows = out.splitlines()
    assert (status, err) == (0, "")
    assert head.split() == ["NAME", "STATE", "PID", "UPTIME", "RESTARTS", "LAST", "EXIT", "CPU", "MEM"]
    assert rows[0].split()[:5] == ["web-0", "ready", "-", "1m0s", "2"]
    assert rows[2].startswith("job    backoff (in ")
    assert "set-up failed: mount.bind ENOENT" in rows[2]
    assert "\x1b" not in out


def test_ps_forms(nsv: Served) -> None:
    assert nsv("ps", "-q", "web").out == "web-0\nweb-1\n"
    assert [view["name"] for view in json.loads(nsv("ps", "--json").out)] == ["web-0", "web-1", "job"]


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_on_a_terminal_unless_no_color(nsv: Served, no_color: str, coloured: bool) -> None:
    command = f"NO_COLOR={no_color} TERM=xterm COLUMNS=120 {sys.executable} -m supervisor --socket {nsv.path} ps"
    done = subprocess.run(["script", "-qec", command, "/dev/null"], check=True, capture_output=True, text=True)
    assert "web-0" in done.stdout
    assert ("\x1b[" in done.stdout) is coloured


def test_inspect_is_json(nsv: Served) -> None:
    details = json.loads(nsv("inspect", "web", "job").out)
    assert [detail["instance"]["name"] for detail in details] == ["web-0", "web-1", "job"]
    assert details[2]["launches"][0]["phases"][1]["errno"] == "ENOENT"
    assert json.loads(nsv("inspect", "job", "--json").out)[0]["spec"] == details[2]["spec"]


def test_stats(nsv: Served) -> None:
    rows = nsv("stats").out.splitlines()
    assert [row.split()[0] for row in rows] == ["NAME", "web-0", "web-1", "job", "(daemon)"]
    assert json.loads(nsv("stats", "job", "--json").out)["daemon"]["rss_bytes"] > 1_000_000


def test_stats_go_on_with_an_interval_until_the_daemon_ends(nsv: Served) -> None:
    command = [sys.executable, "-m", "supervisor", "--socket", nsv.path, "stats", "--json", "-i", "200ms"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        samples = [json.loads(process.stdout.readline()) for _ in range(2)]
        nsv.stop()
        _, err = process.communicate(timeout=10)
    assert samples[1]["sampled_at"] > samples[0]["sampled_at"]
    assert samples[1]["daemon"]["cpu_percent"] is not None
    assert (process.returncode, err.startswith("cannot reach the daemon")) == (4, True)


def test_events(nsv: Served) -> None:
    nsv.fleet.bus.publish("worker.exited", "warning", instance="job", worker="job", code=3, hint="a b", nothing=None)
    nsv.fleet.bus.publish("worker.ready", instance="web-0", worker="web", text="\x1b[2J")
    first, second = nsv("events", "--no-follow").out.splitlines()
    assert first.endswith(' warning worker.exited instance=job worker=job code=3 hint="a b"')
    assert second.endswith(' info    worker.ready instance=web-0 worker=web text="\\u001b[2J"')
    assert nsv("events", "--no-follow", "web").out.splitlines() == [second]
    assert nsv("events", "--no-follow", "--after", "1").out.splitlines() == [second]
    assert nsv("events", "--no-follow", "-n", "1").out.splitlines() == [second]
    assert json.loads(nsv("events", "--no-follow", "--json", "job").out)["fields"]["code"] == 3


def test_events_follow_until_the_daemon_ends(nsv: Served) -> None:
    command = [sys.executable, "-m", "supervisor", "--socket", nsv.path, "events", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        nsv.fleet.bus.publish("worker.ready", instance="job")
        assert json.loads(process.stdout.readline())["event"] == "worker.ready"
        nsv.stop()
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (0, "", "the daemon has ended the stream\n")


def test_explain(nsv: Served) -> None:
    status, out, err = nsv("explain", "job")
    assert (status, err) == (0, "")
    assert out.startswith("job is down and will be started again in ")
    assert "Failed in mount.bind: open_tree: ENOENT (/srv -> /srv)\n  No such path.\n" in out
    assert "  | oh\n" in out
    assert json.loads(nsv("explain", "job", "--json").out)[0]["instance"]["name"] == "job"
    assert nsv("explain", "web").out.count(" and is ready; its policy has restarted it 2 times.") == 2


def test_plan_of_the_daemon(nsv: Served) -> None:
    head, titles, first, *rest = nsv("plan", "web-1").out.splitlines()
    steps = nsv.fleet.plan("web-1").steps
    assert head == f"web-1: {len(steps)} phases"
    assert titles.split() == ["#", "PHASE", "DETAIL"]
    assert first.split() == ["1", "clone", "user", "pid"]
    assert [line.split()[1] for line in [first, *rest][: len(steps)]] == [step.phase for step in steps]
    assert json.loads(nsv("plan", "web", "--json").out)[1]["instance"] == "web-1"


def test_reload_shows_what_changes(nsv: Served) -> None:
    assert nsv("reload", "--dry-run") == (
        0,
        "+ db\n1 added, 0 removed, 0 restarted, 0 changed in place, 3 unchanged (dry run: nothing was done)\n",
        "",
    )
    assert nsv.fleet.asked == [("reload", True)]
    assert json.loads(nsv("reload", "--json").out)["added"] == ["db"]
    assert nsv.fleet.asked[1] == ("reload", False)


def test_reload_of_a_wrong_configuration_prints_every_problem(nsv: Served) -> None:
    nsv.fleet.problems = (
        Problem("a.toml", 3, "worker.web.comand", "unknown key", nearest="command"),
        Problem("a.toml", 9, "worker.web", "command is missing"),
    )
    assert nsv("reload") == (
        1,
        "",
        (
            "a.toml:3: worker.web.comand: unknown key; did you mean command?\n"
            "a.toml:9: worker.web: command is missing\n"
            "cannot use the configuration: 2 problems\n"
        ),
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(nsv: Served, shell: str) -> None:
    status, out, err = nsv("completion", shell)
    assert (status, err) == (0, "")
    assert f"_NSVISOR_COMPLETE={shell}_complete" in out


def complete(words: str, path: str) -> list[str]:
    """What bash would be offered."""
    environ = {"_NSVISOR_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    code = "import sys; sys.argv[0] = 'nsvisor'; from supervisor.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environ | {"NSVISOR_SOCKET": path}
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.split()]


def test_verbs_options_and_living_names_are_completed(nsv: Served) -> None:
    assert complete("nsvisor st", nsv.path) == ["start", "stop", "stats"]
    assert complete("nsvisor ", nsv.path) == list(VERBS)
    assert complete("nsvisor ps --j", nsv.path) == ["--json"]
    assert complete("nsvisor restart w", nsv.path) == ["web", "web-0", "web-1"]
    assert complete("nsvisor wait --for e", nsv.path) == ["exited"]
    assert complete("nsvisor ps w", nsv.path + "-none") == []
