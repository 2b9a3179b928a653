import os
import signal
from collections.abc import Awaitable

import msgspec
import pytest
import trio

from supervisor.control.failures import Refused
from supervisor.control.models import (
    Accepted,
    InstanceDetail,
    InstanceView,
    KillRequest,
    Names,
    ReloadRequest,
    StatsView,
    WaitRequest,
    WaitResult,
)
from supervisor.control.reloads import FleetDiff
from supervisor.sandbox.plan import Plan
from supervisor.spec.errors import Problem
from supervisor.spec.records import LaunchRecord
from tests.control.fakes import FakeFleet, connected, read_all, served


async def test_instances_are_listed_in_file_order(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path) as client:
        views = await client.get("/v1/instances", list[InstanceView])
        assert [view.name for view in views] == ["web-0", "web-1", "job"]
        chosen = await client.get("/v1/instances", list[InstanceView], [("name", "job"), ("name", "web-1")])
        assert [view.name for view in chosen] == ["web-1", "job"]
    web, job = views[0], views[2]
    assert (web.state, web.ready, web.restarts, web.incarnation) == ("ready", True, 2, 3)
    assert 60 <= (web.uptime_s or 0) < 70
    assert 20 < (job.next_start_in_s or 0) <= 30
    assert job.last_failure is not None
    assert (job.last_failure.phase, job.last_failure.errno) == ("mount.bind", "ENOENT")
    assert job.last_exit is not None
    assert job.last_exit.stderr_tail == ("oh",)


async def test_detail_holds_spec_launches_and_exits(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path) as client:
        (job,) = await client.get("/v1/instances/job", list[InstanceDetail])
        assert len(await client.get("/v1/instances/web", list[InstanceDetail])) == 2
        assert await client.get("/v1/instances/job/launches", list[LaunchRecord]) == list(job.launches)
        assert await client.get("/v1/instances/web-1/plan", list[Plan]) == [fleet.plan("web-1")]
    assert job.spec == fleet.spec.workers["job"]
    assert [one.phase for one in job.launches[0].phases] == ["clone", "mount.bind"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/instances/wep"),
        ("GET", "/v1/instances/wep/plan"),
        ("GET", "/v1/instances/wep/launches"),
        ("GET", "/v1/instances?name=wep"),
        ("GET", "/v1/stats?name=wep"),
        ("GET", "/v1/events?name=wep"),
        ("POST", "/v1/start"),
        ("POST", "/v1/stop"),
        ("POST", "/v1/restart"),
        ("POST", "/v1/kill"),
        ("POST", "/v1/wait"),
    ],
)
async def test_unknown_name_is_404_with_the_nearest(fleet: FakeFleet, socket_path: str, method: str, path: str) -> None:
    plain, _, query = path.partition("?")
    async with served(fleet, socket_path) as client:

        def ask() -> Awaitable[bytes]:
            if method == "POST":
                return client.post_raw(path, Names(("wep",)))
            return client.get_raw(plain, [("name", "wep")] if query else ())

        with pytest.raises(Refused, match=r"^cannot find 'wep'.*did you mean web\?") as refusal:
            await ask()
    assert refusal.value.status == 404
    assert (refusal.value.view.code, refusal.value.view.nearest) == ("unknown_name", "web")
    assert not fleet.asked


async def test_requests_reach_the_fleet(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path) as client:
        assert await client.post("/v1/start", Names(("web",)), Accepted) == Accepted(("web-0", "web-1"))
        await client.post("/v1/stop", Names(), Accepted)
        await client.post("/v1/kill", KillRequest(("web-0",), "usr1"), Accepted)
        await client.post("/v1/reload", ReloadRequest(dry_run=True), FleetDiff)
        await client.post("/v1/shutdown", Names(), Accepted)
    assert fleet.asked == [
        ("start", ("web",), "operator"),
        ("stop", (), "operator"),
        ("kill", ("web-0",), "SIGUSR1", "operator"),
        ("reload", True),
    ]
    assert fleet.shutdown.is_set()


async def test_illegal_move_is_a_conflict(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path) as client:
        with pytest.raises(Refused, match=r"^cannot send SIGTERM in state backoff") as refusal:
            await client.post("/v1/kill", KillRequest(("job",), "15"), Accepted)
    assert (refusal.value.status, refusal.value.view.code) == (409, "conflict")


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/kill", {"names": ["web"], "signal": "SIGFOO"}, "cannot send 'SIGFOO': no such signal"),
        ("/v1/kill", {"names": []}, "cannot send a signal: no name given"),
        ("/v1/kill", {}, "names"),
        ("/v1/start", {"names": "web"}, "Expected `array`, got `str` - at `$.names`"),
        ("/v1/start", {"nmaes": []}, "unknown field `nmaes`"),
        ("/v1/wait", {"condition": "happy"}, "happy"),
        ("/v1/wait", {"timeout_s": -1}, "cannot wait -1 s"),
    ],
)
async def test_wrong_body_is_400_and_says_what(
    fleet: FakeFleet, socket_path: str, path: str, body: dict[str, object], words: str
) -> None:
    async with served(fleet, socket_path) as client:
        with pytest.raises(Refused) as refusal:
            await client.post_raw(path, body)
    assert (refusal.value.status, refusal.value.view.code) == (400, "bad_request")
    assert str(refusal.value).startswith("cannot ")
    assert words in str(refusal.value)
    assert not fleet.asked


async def test_config_error_is_422_with_every_problem(fleet: FakeFleet, socket_path: str) -> None:
    fleet.problems = (
        Problem("a.toml", 3, "worker.web.comand", "unknown key", nearest="command"),
        Problem("a.toml", 9, "worker.web.instances", "not a number", value='"two"'),
    )
    async with served(fleet, socket_path) as client:
        with pytest.raises(Refused, match="cannot use the configuration: 2 problems") as refusal:
            await client.post("/v1/reload", ReloadRequest(), FleetDiff)
    view = refusal.value.view
    assert (refusal.value.status, view.code) == (422, "config_error")
    assert [(one.file, one.line, one.key, one.nearest) for one in view.problems] == [
        ("a.toml", 3, "worker.web.comand", "command"),
        ("a.toml", 9, "worker.web.instances", None),
    ]
    assert view.problems[0].text == "a.toml:3: worker.web.comand: unknown key; did you mean command?"


async def test_fault_of_ours_is_500_published_and_survived(fleet: FakeFleet, socket_path: str) -> None:
    events = fleet.bus.subscribe()
    async with served(fleet, socket_path) as client:
        with pytest.raises(Refused, match="cannot answer POST /v1/restart: ZeroDivisionError") as refusal:
            await client.post("/v1/restart", Names(("web",)), Accepted)
        assert (refusal.value.status, refusal.value.view.code) == (500, "internal")
        assert len(await client.get("/v1/instances", list[InstanceView])) == 3
    event = await anext(events)
    assert (event.event, event.level) == ("control.failed", "error")
    assert "a fault of ours" in event.fields["traceback"]


@pytest.mark.parametrize(("path", "code"), [("/v2/instances", "no_such_route"), ("/v1/start", "wrong_method")])
async def test_wrong_route_or_method_is_json_too(fleet: FakeFleet, socket_path: str, path: str, code: str) -> None:
    async with served(fleet, socket_path) as client:
        with pytest.raises(Refused, match=r"see /v1/openapi\.json") as refusal:
            await client.get_raw(path)
    assert refusal.value.view.code == code


async def test_wait_answers_when_met(fleet: FakeFleet, socket_path: str) -> None:
    results: list[WaitResult] = []
    async with served(fleet, socket_path) as client, trio.open_nursery() as nursery:

        async def ask() -> None:
            results.append(await client.post("/v1/wait", WaitRequest(("web",), "stopped", 60), WaitResult))

        nursery.start_soon(ask)
        await fleet.waiting.wait()
        fleet.met.set()
    assert results == [WaitResult(met=True)]
    assert fleet.asked == [("wait", ("web",), "stopped", 60.0)]


async def test_wait_in_vain_names_who_is_missing(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path) as client:
        ready = await client.post("/v1/wait", WaitRequest((), "ready", 0), WaitResult)
        stopped = await client.post("/v1/wait", WaitRequest((), "stopped", 0), WaitResult)
    assert ready == WaitResult(met=False, missing=("job",))
    assert stopped == WaitResult(met=False, missing=("web-0", "web-1", "job"))


async def test_wait_ends_when_its_client_goes(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path):
        async with connected(socket_path) as stream:
            await stream.send_all(b"POST /v1/wait HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}")
            await fleet.waiting.wait()
        with trio.fail_after(2):
            await fleet.wait_cancelled.wait()


async def test_stats_sample_the_whole_tree(fleet: FakeFleet, socket_path: str) -> None:
    process = await trio.lowlevel.open_process(["sh", "-c", "sleep 60 & wait"], start_new_session=True)
    fleet.instances["web-0"].pid = process.pid
    try:
        with trio.fail_after(5):
            while True:
                async with served(fleet, socket_path) as client:
                    stats = await client.get("/v1/stats", StatsView)
                    (view,) = await client.get("/v1/instances", list[InstanceView], [("name", "web-0")])
                if stats.instances[0].processes == 2:
                    break
                await trio.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    assert stats.instances[0].rss_bytes
    assert stats.instances[0].cpu_percent is not None
    assert (view.pid, view.processes) == (process.pid, 2)
    assert stats.instances[1].rss_bytes is None
    assert (stats.daemon.rss_bytes or 0) > 1_000_000


async def test_metrics_are_openmetrics(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path), connected(socket_path) as stream:
        await stream.send_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        answer = await read_all(stream)
    assert b"content-type: application/openmetrics-text" in answer.lower()
    assert b"# EOF" in answer


async def test_keep_alive_connection_takes_several_requests(fleet: FakeFleet, socket_path: str) -> None:
    async with served(fleet, socket_path), connected(socket_path) as stream:
        for _ in range(3):
            await stream.send_all(b"GET /v1/version HTTP/1.1\r\nhost: a\r\n\r\n")
            answer = await stream.receive_some(65536)
            while b"\r\n\r\n{" not in answer or not answer.endswith(b"}"):
                answer += await stream.receive_some(65536)
            assert answer.startswith(b"HTTP/1.1 200")
            assert msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])["api"] == "v1"
