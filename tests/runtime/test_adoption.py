"""What the next daemon makes of what it finds. tests/e2e has the same with the real daemon, killed for real."""

import os
import signal
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from supervisor.policy.restart import State
from supervisor.runtime import adoption
from supervisor.runtime.incarnation import Incarnation
from supervisor.runtime.state import SLOT_BYTES
from tests.nsinit.keepers import has_ended
from tests.runtime.fleets import IDLE, descriptors, fleet, until

WRITER = "command = ['sh', '-c', 'while :; do echo x; sleep 0.01; done']\n"


async def test_all_goes_on(tmp_path: Path) -> None:
    text = (
        f"[worker.up]\n{WRITER}[worker.tied]\n{IDLE}requires = ['up']\n[worker.down]\n{IDLE}\n"
        "[worker.job]\ncommand = ['true']\n[worker.waits]\ncommand = ['true']\nrequires = ['down']\n"
        "[worker.bad]\ncommand = ['false']\nrestart = { delay = '30s', jitter = 0 }\n"
        "[worker.given-up]\ncommand = ['false']\nrestart = { policy = 'never' }\n"
    )
    async with fleet(tmp_path, text) as first:
        for name, state in (("tied", "ready"), ("job", "completed"), ("bad", "backoff"), ("given-up", "failed")):
            await first.wait_state(name, state)
        await first.fleet.stop(["down"])
        await first.wait_state("down", "stopped")
        before = {name: one.status for name, one in first.fleet.instances.items()}
        pids = {name: first.pid(name) for name in ("up", "tied")}
        exits = {name: list(one.exits) for name, one in first.fleet.instances.items()}
        launches = {name: [one.incarnation for one in first[name].launches] for name in ("up", "tied")}
        first.die()
    async with fleet(tmp_path, text) as second:
        await trio.sleep(0.1)
        after = {name: one.status for name, one in second.fleet.instances.items()}
        for name, status in before.items():
            assert (after[name].state, after[name].incarnation) == (status.state, status.incarnation), name
            assert after[name].deadline == status.deadline, name
            assert (after[name].failures, after[name].restarts) == (status.failures, status.restarts), name
        assert after["down"].stopped_by == "operator"
        assert {name: second.pid(name) for name in pids} == pids
        assert {name: list(one.exits) for name, one in second.fleet.instances.items()} == exits
        assert {name: [one.incarnation for one in second[name].launches] for name in launches} == launches
        read = second["up"].output.read_bytes
        await until(lambda: second["up"].output.read_bytes > read, "output")
        await second.fleet.restart(["up"])
        await until(lambda: second["tied"].status.incarnation == 2 and second["tied"].is_up, "all to be back")


async def test_an_exit_in_the_gap_is_told_once_and_answered_by_the_policy(tmp_path: Path) -> None:
    text = (
        f"[worker.a]\n{IDLE}restart = {{ delay = '0.05s' }}\n[worker.b]\n{IDLE}restart = {{ policy = 'never' }}\n"
        f"[worker.c]\n{IDLE}"
    )
    async with fleet(tmp_path, text) as first:
        assert await first.fleet.wait([], "ready", 10)
        workers = {name: os.pidfd_open(first.pid(name)) for name in ("a", "b")}
        keep = {name: os.dup(fd) for name, fd in workers.items()}
        first.die()
        for fd in keep.values():
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    for daemon in range(2):
        async with fleet(tmp_path, text) as following:
            await following.wait_state("b", "failed")
            await until(lambda: following["a"].status.incarnation == 2 and following["a"].is_up, "a to be back")
            assert [one.signal for one in following["a"].exits] == ["SIGKILL"]
            assert [one.signal for one in following["b"].exits] == ["SIGKILL"]
            assert len(following.events("worker.exited", instance="b")) == (1 if daemon == 0 else 0)
            assert following["c"].status.incarnation == 1
            if daemon == 0:
                following.die()


async def test_strays_end_before_anything_starts(tmp_path: Path) -> None:
    """Another name in the configuration; nothing that can be read in the state."""
    async with fleet(tmp_path, f"[worker.old]\n{IDLE}[worker.both]\n{IDLE}instances = 2\n") as first:
        assert await first.fleet.wait([], "ready", 10)
        pids = {name: first.pid(name) for name in first.fleet.instances}
        first.die()
    watched = {name: os.pidfd_open(pid) for name, pid in pids.items()}
    text = f"[worker.new]\n{IDLE}[worker.both]\n{IDLE}instances = 2\n"
    async with fleet(tmp_path, text, begin=False) as second:
        os.pwrite(second.state.fd, bytes(SLOT_BYTES), SLOT_BYTES * 2)
        second.states = second.state.load()
        assert set(second.states) == {"old", "both-1"}
        await second.begin()
        assert not second.events("worker.launching") or has_ended(watched["old"])
        assert has_ended(watched["old"])
        assert has_ended(watched["both-0"])
        assert {one.fields["name"] for one in second.events("worker.stray")} == {"old#1", "both-0#1"}
        assert await second.fleet.wait([], "ready", 10)
        assert second.pid("both-1") == pids["both-1"]
        assert set(second.state.load()) == {"new", "both-0", "both-1"}
    for fd in watched.values():
        os.close(fd)


async def test_a_stray_that_does_not_die_at_once_makes_its_instance_unkillable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is launched beside it, by whatever event, until it is gone."""
    monkeypatch.setattr(adoption, "STRAY_TIMEOUT_S", 0)
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}[worker.old]\n{IDLE}") as first:
        assert await first.fleet.wait([], "ready", 10)
        pids = {name: first.pid(name) for name in ("a", "old")}
        first.die()
    strays = {name: os.pidfd_open(pid) for name, pid in pids.items()}
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}", begin=False) as second:
        second.state.forget("a")
        second.states = {}
        send = second.bus.publish
        at_launch: list[bool] = []

        def publish(event: str, level: str = "info", **fields: object) -> None:
            if event == "worker.launching":
                at_launch.append(has_ended(strays["a"]))
            send(event, level, **fields)

        monkeypatch.setattr(second.bus, "publish", publish)
        await second.begin()
        await second.wait_state("a", "ready")
        assert second["a"].status.incarnation == 2
        assert at_launch == [True]
        told = {one.fields["instance"] for one in second.events("worker.unkillable")}
        assert told == {"a", "old"}
        assert [one.incarnation for one in second["a"].exits] == [1]
        await until(lambda: has_ended(strays["old"]), "the other one to be gone")
    for fd in strays.values():
        os.close(fd)


async def test_an_exit_that_was_noted_by_a_daemon_killed_right_then_is_not_noted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The history is written before the state: in between the exit is in the one, and the state knows nothing of it."""
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}restart = {{ policy = 'never' }}\n") as first:
        assert await first.fleet.wait([], "ready", 10)
        before = first.state.load()["a"]
        monkeypatch.setattr(first.services.state, "save", lambda _: None)
        os.kill(first.pid("a"), signal.SIGKILL)

        async def killed(*_: object) -> None:
            await trio.sleep_forever()

        monkeypatch.setattr(first.link, "acknowledge", killed)
        await until(lambda: len(first["a"].exits) == 1, "its exit")
        first.die()
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}restart = {{ policy = 'never' }}\n", begin=False) as second:
        assert second.states["a"] == before
        assert second["a"].status == before.status  # whoever looks before all is adopted sees nothing go back
        await second.begin()
        await second.wait_state("a", "failed")
        assert [(one.incarnation, one.signal) for one in second["a"].exits] == [(1, "SIGKILL")]
        assert second.events("worker.exited") == []


@pytest.mark.parametrize("forked", [False, True])
async def test_killed_while_it_launched(tmp_path: Path, forked: bool) -> None:
    """In CREATING: without a process, and with one whose channel broke."""
    text = f"[worker.a]\n{IDLE}autostart = false\n"
    async with fleet(tmp_path, text) as first:
        await first.fleet.start([])
        if forked:
            await first.wait_state("a", "ready")
            first.state.save(
                replace(first.state.load()["a"], status=replace(first["a"].status, state=State.CREATING, ready_at=None))
            )
        first.die()
    async with fleet(tmp_path, text) as second:
        await until(lambda: second["a"].status.incarnation == 2 and second["a"].is_up, "a to be launched again")
        assert [one.cause for one in second["a"].exits] == ["interrupted"]
        assert second["a"].status.failures == second["a"].status.restarts == 0
        assert len(second.events("worker.launching")) == 1


@pytest.mark.parametrize(
    ("change", "incarnation"),
    [("env = { A = '1' }\n", 2), ("stop = { grace = '1s' }\nafter = ['b']\n", 1), ("instances = 1\n", 1)],
)
async def test_a_changed_spec_restarts_as_a_reload_would(tmp_path: Path, change: str, incarnation: int) -> None:
    async with fleet(tmp_path, f"[worker.b]\n{IDLE}[worker.a]\n{IDLE}") as first:
        assert await first.fleet.wait([], "ready", 10)
        first.die()
    async with fleet(tmp_path, f"[worker.b]\n{IDLE}[worker.a]\n{IDLE}{change}") as second:
        await until(lambda: second["a"].status.incarnation == incarnation and second["a"].is_up, "a to be up")
        await trio.sleep(0.05)
        assert second["a"].status.incarnation == incarnation
        assert second["b"].status.incarnation == 1
        assert [one.requested_by for one in second["a"].exits] == ["reload"] * (incarnation - 1)


async def test_another_number_of_instances_restarts_none(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}instances = 2\n") as first:
        assert await first.fleet.wait([], "ready", 10)
        pids = {name: first.pid(name) for name in ("a-0", "a-1")}
        first.die()
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}instances = 3\n") as second:
        assert await second.fleet.wait([], "ready", 10)
        assert {name: second.pid(name) for name in pids} == pids


async def test_stopped_while_stopping_stays_stopped(tmp_path: Path) -> None:
    text = "[worker.a]\ncommand = ['sh', '-c', 'trap \"\" TERM; echo up; while :; do sleep 0.05; done']\n"
    text += "stop = { grace = '0.3s' }\n"
    async with fleet(tmp_path, text) as first:
        await until(lambda: first["a"].output.read_bytes, "its trap to be set")
        await first.fleet.stop([])
        first.die()
    async with fleet(tmp_path, text) as second:
        await second.wait_state("a", "stopped", timeout_s=5)
        assert second["a"].exits[-1].requested_by == "operator"
        assert second["a"].exits[-1].signal == "SIGKILL"


class Killed(Exception):  # noqa: N818  (what it stands for)
    """The daemon, in the middle of something."""


@pytest.mark.parametrize("sent", [True, False])
async def test_the_stop_signal_is_sent_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bool) -> None:
    """By the daemon that decided on it, or by the next one where that was killed in between."""
    program = 'n=0; trap "n=$((n+1)); echo heard" TERM; trap "exit $n" USR1; echo up; while :; do sleep 0.02; done'
    program = program.replace("$", r"\$")
    text = f"[worker.a]\ncommand = ['sh', '-c', '{program}']\nstop = {{ grace = '60s' }}\n"
    async with fleet(tmp_path, text) as first:
        await until(lambda: first["a"].output.read_bytes == len("up\n"), "its traps to be set")
        if sent:
            await first.fleet.stop([])
            await until(lambda: first["a"].output.read_bytes == len("up\nheard\n"), "it to hear")
        else:
            with monkeypatch.context() as patch:
                patch.setattr(Incarnation, "send", _killed)
                with pytest.raises(Killed):
                    await first.fleet.stop([])
        first.die()
    async with fleet(tmp_path, text) as second:
        assert second.state_of("a") == "stopping"
        if sent:
            await trio.sleep(0.2)
        await until(lambda: sent or second["a"].output.read_bytes == len("heard\n"), "it to hear")
        await second.fleet.kill(["a"], "SIGUSR1")
        await second.wait_state("a", "stopped")
        assert second["a"].exits[-1].code == 1


def _killed(_incarnation: Incarnation, _number: int) -> None:
    raise Killed


async def test_three_daemons_leave_no_descriptor_in_the_keeper(tmp_path: Path) -> None:
    text = f"[worker.a]\n{IDLE}instances = 3\n"
    async with fleet(tmp_path, text) as running:
        assert await running.fleet.wait([], "ready", 10)
        await trio.sleep(0.05)
        keeper = running.keepers.pid
        running.die()
    before = descriptors()
    counts = set()
    for _ in range(3):
        async with fleet(tmp_path, text) as running:
            assert running.keepers.pid == keeper
            await trio.sleep(0.02)
            counts.add(len(os.listdir(f"/proc/{keeper}/fd")))
            running.die()
    async with fleet(tmp_path, text) as running:
        assert await running.fleet.wait([], "ready", 1)
    assert len(counts) == 1
    assert descriptors() == before
