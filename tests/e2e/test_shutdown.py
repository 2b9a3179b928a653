"""The end of the whole fleet: in reverse order, at once where nothing is in the way, and in a hurry if need be."""

import signal

from tests.e2e.daemons import Daemon, matching, running, wait_until
from tests.program import Program

# Each takes half a second to leave.
SLOW = """
[defaults]
command = ["sh", "-c", "trap 'sleep 0.5; exit 0' TERM; echo up; while :; do sleep 0.05; done"]

[worker.base]

[worker.middle]
requires = ["base"]

[worker.top]
requires = ["middle"]

[worker.alone]
instances = 3

[worker.waits]
command = ["false"]
restart = { delay = "1h", max_delay = "1h" }
"""
DEAF = """
[defaults]
command = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]
stop = { grace = "1h" }

[worker.below]

[worker.above]
requires = ["below"]
"""


def are_up(daemon: Daemon, *names: str) -> None:
    """Whether all have written that they listen to signals."""
    for name in names:
        file = daemon.program.state / "nsvisor" / "logs" / f"{name}.log"
        wait_until(lambda file=file: file.exists() and "up" in file.read_text(), f"{name} to listen")  # type: ignore[misc]


def first_at(daemon: Daemon, event: str, name: str) -> str:
    return str(daemon.records(event, instance=name)[0]["timestamp"])


def test_all_that_nothing_comes_after_stop_at_once(nsvisor: Program) -> None:
    with running(nsvisor, SLOW) as daemon:
        names = ["alone-0", "alone-1", "alone-2", "base", "middle", "top"]
        are_up(daemon, *names)
        daemon.wait_state("waits", "backoff")
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_record("daemon.stopping")
        assert daemon.stop() == 0  # a second SIGTERM hastens nothing
        assert [*daemon.records("daemon.hastened"), *daemon.records("worker.killing")] == []
        asked = {name: first_at(daemon, "worker.stopping", name) for name in names}
        gone = {name: first_at(daemon, "worker.exited", name) for name in names}
        assert (
            max(asked[name] for name in names[:3]) < gone["top"]
        )  # not after those that come later, as they did start
        assert max(asked[name] for name in names[:3]) < min(gone[name] for name in names[:3])
        assert gone["top"] <= asked["middle"]
        assert gone["middle"] <= asked["base"]
        assert first_at(daemon, "worker.stopped", "waits") < gone["top"]


def test_a_second_interrupt_kills_what_is_left(nsvisor: Program) -> None:
    with running(nsvisor, DEAF) as daemon:
        are_up(daemon, "below", "above")
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_record("worker.stopping", instance="above")

        def hurries() -> bool:
            daemon.process.send_signal(signal.SIGINT)
            return bool(daemon.records("daemon.hastened"))

        wait_until(hurries, "it to hurry")
        assert daemon.process.wait(20) == 0
        assert len(daemon.records("daemon.hastened")) == 1
        assert {one["signal"] for one in daemon.records("worker.exited", requested_by="shutdown")} == {"SIGKILL"}


def test_shutdown_while_a_reload_waits_refuses_the_reload(nsvisor: Program) -> None:
    with running(nsvisor, DEAF.partition("[worker.above]")[0].replace("1h", "2s")) as daemon:
        are_up(daemon, "below")
        nsvisor.write("nsvisor.toml", '[worker.added]\ncommand = ["sleep", "45020"]\n')
        reload = nsvisor.popen("reload", stdout=-1, stderr=-1)
        daemon.wait_state("below", "stopping")
        daemon.post("/v1/shutdown")
        _, words = reload.communicate(timeout=20)
        assert reload.returncode == 1
        assert "the daemon is stopping" in words
        assert daemon.process.wait(20) == 0
    assert matching("sleep", "45020") == []
