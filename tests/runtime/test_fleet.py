from pathlib import Path

import psutil
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervisor.policy import effects
from supervisor.policy.restart import IllegalMove
from supervisor.spec.errors import ConfigError
from supervisor.spec.names import UnknownName
from tests.e2e.tracer import traced
from tests.runtime.fleets import IDLE, Running, fleet, until

SLOW_TO_STOP = """command = ["sh", "-c", "trap 'sleep 0.3; exit 0' TERM; echo up; while :; do sleep 0.05; done"]\n"""
TCP = """command = ["python3", "-c", '''
import os, socket, time
while not os.path.exists("/d/go"): time.sleep(0.02)
s = socket.create_server(("127.0.0.1", 8080)); time.sleep(1000)''']
ready = { kind = "tcp", address = "127.0.0.1:8080", interval = "0.02s" }
"""


def bind(directory: Path) -> str:
    return f'mounts = [{{ type = "bind", source = "{directory}", target = "/d" }}]\n'


def order_of(running: Running, event: str) -> list[str]:
    return [one.fields["instance"] for one in running.events(event)]


async def test_started_in_order_and_stopped_in_reverse(tmp_path: Path) -> None:
    text = f"[worker.c]\n{IDLE}requires = ['b']\n[worker.b]\n{IDLE}after = ['a']\n[worker.a]\n{IDLE}instances = 2\n"
    async with fleet(tmp_path, text) as running:
        await running.wait_state("c", "ready")
        assert order_of(running, "worker.ready")[2:] == ["b", "c"]
        assert set(order_of(running, "worker.ready")[:2]) == {"a-0", "a-1"}
    stopped = order_of(running, "worker.stopped")
    assert stopped[:2] == ["c", "b"]
    assert set(stopped[2:]) == {"a-0", "a-1"}


async def test_after_waits_until_ready_but_not_for_what_has_failed(tmp_path: Path) -> None:
    text = (
        f"[worker.slow]\n{TCP}{bind(tmp_path)}"
        "[worker.bad]\ncommand = ['false']\nrestart = { policy = 'never' }\n"
        f"[worker.late]\n{IDLE}after = ['slow']\n[worker.next]\n{IDLE}after = ['bad']\n"
        f"[worker.tied]\n{IDLE}requires = ['bad']\n"
    )
    async with fleet(tmp_path, text) as running:
        await running.wait_state("next", "ready")
        await running.wait_state("slow", "running")
        await running.wait_state("bad", "failed")
        assert running.state_of("late") == "waiting"
        await running.wait_state("tied", "waiting")  # it was up for as long as the other was
        (tmp_path / "go").touch()
        await running.wait_state("late", "ready")
        assert running.state_of("tied") == "waiting"


async def test_what_requires_falls_and_comes_back(tmp_path: Path) -> None:
    text = (
        f"[worker.db]\n{IDLE}restart = {{ delay = '0.2s' }}\n[worker.web]\n{IDLE}requires = ['db']\n"
        f"[worker.top]\n{IDLE}requires = ['web']\n[worker.other]\n{IDLE}after = ['db']\n"
    )
    async with fleet(tmp_path, text) as running:
        await running.wait_state("top", "ready")
        await running.wait_state("other", "ready")
        await running.fleet.kill(["db"], "SIGKILL")
        await until(lambda: running["top"].status.incarnation == 2 and running["top"].is_up, "top to be back")
        assert running["web"].exits[-1].requested_by == "requires:db"
        assert running["web"].exits[-1].clean
        assert running["db"].status.restarts == 1
        assert running["web"].status.restarts == 0
        assert running["other"].status.incarnation == 1
        await running.fleet.stop(["db"])
        await running.wait_state("db", "stopped")
        assert [running.state_of(name) for name in ("web", "top", "other")] == ["waiting", "waiting", "ready"]
        await running.fleet.start(["top"])  # and what it requires
        await running.wait_state("top", "ready")


async def test_a_start_takes_back_a_stop_that_waits_for_dependents(tmp_path: Path) -> None:
    text = (
        f"[worker.db]\n{IDLE}[worker.quick]\n{IDLE}requires = ['db']\n[worker.slow]\n{SLOW_TO_STOP}requires = ['db']\n"
    )
    async with fleet(tmp_path, text) as running:
        await running.wait_state("quick", "ready")
        await until(lambda: running["slow"].output.read_bytes, "its trap to be set")
        await running.fleet.stop(["db"])
        assert not running["db"].is_up
        await running.wait_state("quick", "waiting")
        assert running.state_of("slow") == "stopping"
        assert running.state_of("db") == "ready"  # until slow is down
        await running.fleet.start(["db"])
        await running.wait_state("quick", "ready", timeout_s=0.25)  # not only once slow has moved
        await until(lambda: running["slow"].status.incarnation == 2 and running["slow"].is_up, "slow to be back")
        assert running["db"].status.incarnation == 1


async def test_a_stop_does_not_wait_for_a_dependent_that_was_started_again(tmp_path: Path) -> None:
    text = f"[worker.db]\n{IDLE}[worker.slow]\n{SLOW_TO_STOP}after = ['db']\n"
    async with fleet(tmp_path, text) as running:
        await running.wait_state("slow", "ready")
        await until(lambda: running["slow"].output.read_bytes, "its trap to be set")
        await running.fleet.stop(["db", "slow"])
        assert running.state_of("db") == "ready"
        await running.fleet.start(["slow"])
        await running.wait_state("db", "stopped")
        await running.wait_state("slow", "ready")
        assert running["slow"].status.incarnation == 2


async def test_two_hundred_that_require_each_other_in_a_row(tmp_path: Path) -> None:
    head = "command = ['true']\nautostart = false\n"
    text = f"[worker.w0]\n{head}" + "".join(f"[worker.w{n}]\n{head}requires = ['w{n - 1}']\n" for n in range(1, 300))
    async with fleet(tmp_path, text) as running:
        await running.fleet.start(["w299"])
        assert running.state_of("w299") == "waiting"
        await running.fleet.stop([])
        assert await running.fleet.wait([], "stopped", 10)
        assert {one.status.state for one in running.fleet.instances.values()} <= {"stopped", "completed"}


async def test_a_wait_for_what_never_comes_ends_at_once(tmp_path: Path) -> None:
    text = "[worker.bad]\ncommand = ['false']\nrestart = { policy = 'never' }\n"
    async with fleet(tmp_path, text) as running:
        assert await running.fleet.wait(["bad"], "stopped", 5)
        with trio.fail_after(5):
            assert not await running.fleet.wait(["bad"], "ready", None)


async def test_wait(tmp_path: Path) -> None:
    text = (
        f"[worker.slow]\n{TCP}{bind(tmp_path)}[worker.job]\ncommand = ['true']\n"
        "[worker.bad]\ncommand = ['false']\nrestart = { delay = '50s' }\n"
    )
    async with fleet(tmp_path, text) as running:
        wait = running.fleet.wait
        assert not await wait(["job"], "exited", 0)  # it is about to run
        assert await wait(["job"], "ready", 5)
        assert await wait(["job"], "stopped", 5)
        assert await wait(["job"], "ready", 0)  # what has completed is up for those that require it
        assert await wait(["bad"], "exited", 5)
        assert running.state_of("bad") == "backoff"
        assert not await wait(["bad"], "stopped", 0.02)
        assert not await wait(["slow"], "ready", 0.02)
        assert not await wait([], "exited", 0.02)
        (tmp_path / "go").touch()
        assert await wait(["slow"], "ready", 10)
        with pytest.raises(UnknownName, match="did you mean slow"):
            await wait(["slw"], "ready", 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, ["slow"], "stopped", None)
            await running.fleet.stop([])
        assert running.state_of("slow") == "stopped"
        assert running["slow"].exits[-1].requested_by == "operator"


async def test_nothing_is_started_once_it_stops(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{SLOW_TO_STOP}[worker.b]\n{IDLE}autostart = false\n") as running:
        await running.wait_state("a", "ready")
        await until(lambda: running["a"].output.read_bytes, "its trap to be set")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.shut_down)
            await running.wait_state("a", "stopping")
            for verb in (running.fleet.start, running.fleet.restart):
                with pytest.raises(IllegalMove, match="the daemon is stopping"):
                    await verb(["b"], "operator")
            assert running.state_of("b") == "stopped"


async def test_requests_wait_until_adoption_is_over(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}autostart = false\n", begin=False) as running:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.fleet.start, ["a"])
            await wait_all_tasks_blocked()
            assert running.state_of("a") == "stopped"
            await running.begin()
        await running.wait_state("a", "ready")


# -- reload --


async def test_reload_touches_only_what_changed(tmp_path: Path) -> None:
    text = f"[worker.same]\n{IDLE}[worker.gone]\n{IDLE}[worker.live]\n{IDLE}[worker.anew]\n{IDLE}"
    async with fleet(tmp_path, text) as running:
        for name in ("same", "gone", "live", "anew"):
            await running.wait_state(name, "ready")
        running.text = (
            f"[worker.same]\n{IDLE}[worker.live]\n{IDLE}stop = {{ grace = '1s' }}\n"
            f"[worker.anew]\n{IDLE}env = {{ A = '1' }}\n[worker.more]\n{IDLE}"
        )
        dry = await running.fleet.reload(dry_run=True)
        assert "gone" in running.fleet.instances
        assert await running.fleet.reload() == dry
        assert list(running.fleet.instances) == ["same", "live", "anew", "more"]
        await running.wait_state("more", "ready")
        await until(lambda: running["anew"].status.incarnation == 2 and running["anew"].is_up, "anew to be back")
        assert [running[name].status.incarnation for name in ("same", "live")] == [1, 1]
        assert running["live"].rules.grace_s == 1
        assert running["anew"].exits[-1].requested_by == "reload"
        assert not (tmp_path / "history" / "gone.json").exists()
        assert "gone" not in running.state.load()


async def test_a_faulty_file_changes_nothing(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}") as running:
        await running.wait_state("a", "ready")
        running.text = "[worker.a]\n"
        with pytest.raises(ConfigError):
            await running.fleet.reload()
        assert running.state_of("a") == "ready"
        running.text = f"[worker.a]\n{IDLE}"
        assert (await running.fleet.reload()).empty


async def test_another_number_of_instances_leaves_the_others_alone(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}instances = 2\n") as running:
        for name in ("a-0", "a-1"):
            await running.wait_state(name, "ready")
        pids = {name: running.pid(name) for name in ("a-0", "a-1")}
        running.text = f"[worker.a]\n{IDLE}instances = 3\n"
        await running.fleet.reload()
        await running.wait_state("a-2", "ready")
        assert {name: running.pid(name) for name in pids} == pids
        running.text = f"[worker.a]\n{IDLE}\ninstances = 1\n"
        await running.fleet.reload()
        await running.wait_state("a", "ready")
        assert list(running.fleet.instances) == ["a"]


@pytest.mark.parametrize(
    "command",
    ["'false'", "'sh', '-c', 'trap \"\" TERM; echo; while :; do sleep 0.05; done'"],
    ids=["backoff", "stopping"],
)
async def test_removed_while_on_its_way(tmp_path: Path, command: str) -> None:
    text = f"[worker.a]\ncommand = [{command}]\nrestart = {{ delay = '50s' }}\nstop = {{ grace = '0.2s' }}\n"
    async with fleet(tmp_path, text) as running:
        if "false" in command:
            await running.wait_state("a", "backoff")
        else:
            await until(lambda: running["a"].output.read_bytes, "its trap to be set")
            await running.fleet.stop(["a"])
            await running.wait_state("a", "stopping")
        running.text = ""
        await running.fleet.reload()
        assert running.fleet.instances == {}
        assert running.state.load() == {}


async def test_removed_while_it_waits_for_a_slot_and_while_it_is_built(tmp_path: Path) -> None:
    text = f"[supervisor]\nstart_concurrency = 1\n[worker.a]\n{IDLE}instances = 3\n"
    async with fleet(tmp_path, text) as running:
        running.text = "[supervisor]\nstart_concurrency = 1\n"
        await running.fleet.reload()
        assert running.fleet.instances == {}
        assert running.services.slots.borrowed_tokens == 0
        running.text = f"[worker.b]\n{IDLE}"
        await running.fleet.reload()
        await running.wait_state("b", "ready")


async def test_two_reloads_at_once_follow_each_other(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}") as running:
        await running.wait_state("a", "ready")
        async with trio.open_nursery() as nursery:
            for number in range(2):
                running.text = f"[worker.a]\n{IDLE}env = {{ N = '{number}' }}\n"
                nursery.start_soon(running.fleet.reload)
        await until(lambda: running["a"].status.incarnation == 2 and running["a"].is_up, "the second")
        assert running["a"].worker.env["N"] == "1"
        assert running.fleet.spec == running.read()


async def test_a_reload_goes_on_without_who_asked(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{SLOW_TO_STOP}") as running:
        await until(lambda: running["a"].output.read_bytes, "its trap to be set")
        running.text = f"[worker.b]\n{IDLE}"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.fleet.reload)
            await running.wait_state("a", "stopping")
            nursery.cancel_scope.cancel()
        await until(lambda: list(running.fleet.instances) == ["b"] and running["b"].is_up, "all of it to be done")


async def test_what_was_removed_and_does_not_die_leaves_once_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(effects, "KILL_TIMEOUT_S", 0.3)
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}stop = {{ grace = '0s' }}\n") as running:
        await running.wait_state("a", "ready")
        (workload,) = psutil.Process(running.pid("a")).children()
        with traced(workload.pid):
            for text in ("", f"[worker.b]\n{IDLE}"):
                running.text = text
                await running.fleet.reload()
                assert running.state_of("a") == "unkillable"
            await running.wait_state("b", "ready")
        await until(lambda: list(running.fleet.instances) == ["b"], "it to be forgotten")


async def test_a_reload_while_an_earlier_one_has_yet_to_take_effect(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{SLOW_TO_STOP}") as running:
        await until(lambda: running["a"].output.read_bytes, "its trap to be set")
        running.text = f"[worker.a]\n{SLOW_TO_STOP}env = {{ N = '1' }}\n"
        await running.fleet.reload()
        assert running.state_of("a") == "stopping"
        running.text += "restart = { policy = 'never' }\n"
        await running.fleet.reload()
        await until(lambda: running["a"].status.incarnation == 2 and running["a"].is_up, "the second")
        assert (running["a"].worker.env["N"], running["a"].worker.restart.policy) == ("1", "never")


async def test_reload_does_not_start_what_was_stopped_by_hand(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{SLOW_TO_STOP}[worker.b]\n{IDLE}") as running:
        await until(lambda: running["a"].output.read_bytes, "its trap to be set")
        await running.fleet.stop([])
        await running.wait_state("b", "stopped")
        assert running.state_of("a") == "stopping"
        running.text = f"[worker.a]\n{SLOW_TO_STOP}env = {{ N = '1' }}\n[worker.b]\n{IDLE}env = {{ N = '1' }}\n"
        await running.fleet.reload()
        await running.wait_state("a", "stopped")
        assert running.state_of("b") == "stopped"
        await running.fleet.start([])
        await running.wait_state("a", "ready")
        assert running["a"].worker.env["N"] == "1"


async def test_started_while_a_reload_removes_it(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{SLOW_TO_STOP}") as running:
        await until(lambda: running["a"].output.read_bytes, "its trap to be set")
        running.text = ""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(running.fleet.reload)
            await running.wait_state("a", "stopping")
            await running.fleet.start(["a"])
        assert running.fleet.instances == {}


async def test_a_name_that_goes_to_another_worker(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a-1]\n{IDLE}") as running:
        await running.wait_state("a-1", "ready")
        running.text = f"[worker.a]\n{IDLE}instances = 2\n"
        await running.fleet.reload()
        await running.wait_state("a-0", "ready")
        await running.fleet.restart(["a-1"])
        await until(lambda: running["a-1"].status.incarnation == 2 and running["a-1"].is_up, "a-1 to be back")
        assert running.fleet.plan("a-1").instance == "a-1"
        assert running["a-1"].worker.name == "a"
