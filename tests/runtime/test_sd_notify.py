import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from supervisor.runtime import sd_notify
from supervisor.runtime.sd_notify import Notifier
from supervisor.telemetry.bus import EventBus


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """What systemd listens with."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + address[1:] if address.startswith("@") else address)
        receiver.settimeout(5)
        yield receiver


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "path" else f"@nsvisor-test-{os.getpid()}"


def test_messages(address: str) -> None:
    with manager(address) as receiver:
        notifier = Notifier.from_environ({"NOTIFY_SOCKET": address})
        assert notifier.ready()
        assert receiver.recv(4096) == b"READY=1"
        assert notifier.status("3 workers:\n 2 ready\tone not")
        assert receiver.recv(4096) == b"STATUS=3 workers: 2 ready one not"
        assert notifier.stopping()
        assert receiver.recv(4096) == b"STOPPING=1"
        assert notifier.extend_timeout(1.5)
        assert receiver.recv(4096) == b"EXTEND_TIMEOUT_USEC=1500000"
        assert notifier.watchdog()
        assert receiver.recv(4096) == b"WATCHDOG=1"
        assert notifier.main_pid(42)
        assert receiver.recv(4096) == b"MAINPID=42"
        assert notifier.send("READY=1", "STATUS=\udcff")
        assert receiver.recv(4096) == b"READY=1\nSTATUS=\xff"


def test_reloading_tells_the_monotonic_time(address: str) -> None:
    with manager(address) as receiver:
        before = time.monotonic_ns() // 1000
        assert Notifier(address).reloading()
        first, second = receiver.recv(4096).split(b"\n")
        assert first == b"RELOADING=1"
        assert before <= int(second.removeprefix(b"MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def test_without_a_service_manager_nothing_is_sent() -> None:
    for environ in ({}, {"NOTIFY_SOCKET": ""}):
        notifier = Notifier.from_environ(environ)
        assert not notifier.ready()
        assert notifier.address is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30_000_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30_000_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_only_where_it_is_meant_for_us(environ: dict[str, str], expected: int | None) -> None:
    assert Notifier.from_environ({"NOTIFY_SOCKET": "/run/x", **environ}).watchdog_us == expected
    assert Notifier.from_environ(environ).watchdog_us is None


async def test_watchdog_loop_keeps_the_period(address: str) -> None:
    with manager(address) as receiver:
        with trio.move_on_after(0.55):
            await Notifier(address, watchdog_us=200_000).watchdog_loop()
        Notifier(address).stopping()
        got = list(iter(lambda: receiver.recv(4096), b"STOPPING=1"))
        assert set(got) == {b"WATCHDOG=1"}
        assert 4 <= len(got) <= 6


async def test_watchdog_loop_ends_where_there_is_none() -> None:
    with trio.fail_after(5):
        await Notifier(None).watchdog_loop()


def test_a_manager_that_is_gone_is_reported_once_and_does_no_harm(tmp_path: Path) -> None:
    bus = EventBus()
    address = str(tmp_path / "notify")
    notifier = Notifier(address, bus=bus)
    assert not notifier.ready()
    assert not notifier.watchdog()
    [record] = bus._kept
    assert (record.event, record.fields["errno"], record.fields["state"]) == (
        "daemon.notify_failed",
        "ENOENT",
        "READY=1",
    )
    with manager(address):
        assert notifier.ready()
    assert not notifier.ready()
    assert [one.fields["errno"] for one in bus._kept] == ["ENOENT", "ECONNREFUSED"]


def test_a_manager_that_reads_nothing_holds_us_up_for_a_moment_only(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sd_notify, "SEND_TIMEOUT_S", 0.05)
    bus = EventBus()
    notifier = Notifier(address, bus=bus)
    with manager(address) as receiver:
        sent = 0
        while notifier.watchdog():
            sent += 1
            assert sent < 10_000
        assert bus._kept[-1].fields["errno"] in {"EAGAIN", "TimeoutError"}
        assert receiver.recv(4096) == b"WATCHDOG=1"
        assert notifier.watchdog()


@pytest.mark.parametrize("address", ["relative/\0path", "x" * 200])
def test_an_address_that_cannot_be_one(address: str) -> None:
    assert not Notifier(address).ready()
