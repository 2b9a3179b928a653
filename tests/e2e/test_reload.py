"""`nsvisor reload` and SIGHUP: only what changed is touched, and a bad file changes nothing."""

import signal

from tests.e2e.daemons import Daemon, matching, running, wait_until
from tests.program import Program

FLEET = """
[worker.same]
command = ["sleep", "43001"]
instances = 2

[worker.changed]
command = ["sleep", "43002"]

[worker.softly]
command = ["sleep", "43003"]

[worker.removed]
command = ["sleep", "43004"]

[worker.stopped]
command = ["sleep", "43005"]
"""
CHANGED = (
    FLEET.replace("43002", "43006")
    .replace('"43003"]\n', '"43003"]\nrestart = { delay = "9s" }\n')
    .replace('removed]\ncommand = ["sleep", "43004"]', 'added]\ncommand = ["sleep", "43007"]')
)


def begin(daemon: Daemon) -> dict[str, dict[str, object]]:
    """All up but the one that is stopped by hand."""
    for name in ("same-0", "same-1", "changed", "softly", "removed", "stopped"):
        daemon.wait_state(name, "ready")
    daemon.post("/v1/stop", names=["stopped"])
    daemon.wait_state("stopped", "stopped")
    return daemon.instances()


def check(daemon: Daemon, before: dict[str, dict[str, object]]) -> None:
    """What the change must have made of them."""
    wait_until(lambda: matching("sleep", "43006"), "the changed one")
    daemon.wait_state("added", "ready")
    daemon.wait_state("changed", "ready")
    after = daemon.instances()
    assert sorted(after) == ["added", "changed", "same-0", "same-1", "softly", "stopped"]
    for name in ("same-0", "same-1", "softly"):
        assert (after[name]["pid"], after[name]["incarnation"]) == (before[name]["pid"], before[name]["incarnation"])
    assert after["changed"]["pid"] != before["changed"]["pid"]
    assert after["changed"]["restarts"] == 0
    assert after["stopped"]["state"] == "stopped"
    assert after["stopped"]["stopped_by"] == "operator"
    assert matching("sleep", "43004") == []
    assert matching("sleep", "43002") == []
    daemon.wait_record("worker.removed", instance="removed")


def test_only_what_changed_is_touched(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        before = begin(daemon)
        nsvisor.write("nsvisor.toml", CHANGED)
        dry = nsvisor.run("reload", "--dry-run")
        assert dry.returncode == 0
        assert "dry run: nothing was done" in dry.stdout
        assert {name: one["pid"] for name, one in daemon.instances().items()} == {
            name: one["pid"] for name, one in before.items()
        }
        done = nsvisor.run("reload")
        assert done.returncode == 0
        lines = done.stdout.splitlines()
        assert {"+ added", "- removed", "~ changed: restarted", "= softly: in place"} <= set(lines)
        assert lines[-1] == "1 added, 1 removed, 1 restarted, 1 changed in place, 3 unchanged"
        assert [line.removesuffix(" (dry run: nothing was done)") for line in dry.stdout.splitlines()] == lines
        check(daemon, before)


def test_sighup_does_the_same(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        before = begin(daemon)
        nsvisor.write("nsvisor.toml", CHANGED)
        daemon.process.send_signal(signal.SIGHUP)
        check(daemon, before)
        assert daemon.wait_record("daemon.reloaded")["unchanged"] == 3


def test_a_bad_file_changes_nothing(nsvisor: Program) -> None:
    with running(nsvisor, FLEET) as daemon:
        before = begin(daemon)
        file = nsvisor.write("nsvisor.toml", CHANGED.replace("instances", "instanzes"))
        done = nsvisor.run("reload")
        assert done.returncode == 1
        assert f"{file}:4: worker.same.instanzes" in done.stderr
        assert "did you mean" in done.stderr
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_record("daemon.reload_failed", after=1)
        after = daemon.instances()
        assert {name: one["pid"] for name, one in after.items()} == {name: one["pid"] for name, one in before.items()}


def test_fewer_and_more_instances(nsvisor: Program) -> None:
    fleet = '[worker.w]\ncommand = ["sleep", "4300{index}"]\ninstances = 3\n'
    with running(nsvisor, fleet) as daemon:
        for number in range(3):
            daemon.wait_state(f"w-{number}", "ready")
            assert len(matching("sleep", f"4300{number}")) == 1  # {index} is replaced
        first = daemon.instance("w-0")["pid"]
        nsvisor.write("nsvisor.toml", fleet.replace("3\n", "2\n"))
        assert nsvisor.run("reload").returncode == 0
        assert sorted(daemon.instances()) == ["w-0", "w-1"]
        assert matching("sleep", "43002") == []
        nsvisor.write("nsvisor.toml", fleet.replace("3\n", "4\n"))
        assert nsvisor.run("reload").returncode == 0
        daemon.wait_state("w-3", "ready")
        assert daemon.instance("w-0")["pid"] == first


def test_sigterm_while_a_reload_waits(nsvisor: Program) -> None:
    deaf = "['sh', '-c', 'trap \"\" TERM; echo deaf; while :; do sleep 0.1; done']"
    fleet = f"[worker.deaf]\ncommand = {deaf}\nstop = {{ grace = '2s' }}\n"
    with running(nsvisor, fleet) as daemon:
        wait_until(lambda: "deaf" in nsvisor.run("logs", "deaf").stdout, "it to be deaf")
        nsvisor.write("nsvisor.toml", '[worker.added]\ncommand = ["sleep", "43008"]\n')
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_state("deaf", "stopping")
        assert daemon.stop() == 0
        assert daemon.records("worker.launching", instance="added") == []
    assert matching("sleep", "43008") == []


FAULTY = """
[defaults]
command = ["false"]
restart = { delay = "1h", max_delay = "1h" }

[worker.waits]

[worker.given-up]
restart = { policy = "never" }

[worker.untouched]

[worker.stopped]
"""


def test_what_failed_and_was_corrected_starts_at_once(nsvisor: Program) -> None:
    with running(nsvisor, FAULTY) as daemon:
        for name in ("waits", "untouched", "stopped"):
            daemon.wait_state(name, "backoff")
        daemon.wait_state("given-up", "failed")
        assert nsvisor.run("stop", "stopped").returncode == 0
        corrected = FAULTY
        for name in ("waits", "given-up", "stopped"):
            corrected = corrected.replace(f"[worker.{name}]", f'[worker.{name}]\ncommand = ["sleep", "43009"]')
        nsvisor.write("nsvisor.toml", corrected)
        assert nsvisor.run("reload").returncode == 0
        for name in ("waits", "given-up"):
            assert daemon.wait_state(name, "ready")["failures"] == 0
        assert daemon.instance("untouched")["state"] == "backoff"
        assert daemon.instance("stopped")["state"] == "stopped"
