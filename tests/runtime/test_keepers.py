import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from supervisor.runtime import keeper_process, keeper_start, keeper_takeover, keepers
from supervisor.runtime.keeper_errors import AdoptionError, KeeperBusyError, KeeperGoneError
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.keepers import Keepers
from supervisor.telemetry.bus import EventBus
from supervisor.wire import PROTOCOL, pack
from tests.runtime.fleets import ENVIRON, IDLE, descriptors, fleet, links, until
from tests.runtime.test_launcher import descriptors_left


def some(directory: Path, adopt_timeout_s: float = 20.0) -> Keepers:
    bus, records = EventBus("debug"), str(directory / "keepers")
    return Keepers(str(directory / "keeper.sock"), ENVIRON, adopt_timeout_s, bus, records)


def told(one: Keepers) -> list[str]:
    return [record.event for record in one._bus._kept]


async def test_one_that_dies_is_replaced_once_and_holds_the_state(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}") as running:
        await running.wait_state("a", "ready")
        before = descriptors()
        first = running.keepers.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: running["a"].status.incarnation == 2 and running["a"].is_up, "a to be back")
        assert running["a"].exits[-1].cause == "unknown"
        await trio.sleep(keepers.REPLACE_DELAY_S + 0.2)
        assert [len(running.events(f"keeper.{what}")) for what in ("died", "replaced", "started")] == [1, 1, 2]
        assert running.events("keeper.died")[0].fields == {"pid": first, "error": "killed by SIGKILL"}
        assert len(descriptors()) == len(before), links(descriptors() - before)
        kept = [os.stat(f"/proc/{running.keepers.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{running.keepers.pid}/fd")]
        ours = os.fstat(running.state.fd)
        assert (ours.st_dev, ours.st_ino) in {(one.st_dev, one.st_ino) for one in kept}


async def test_everybody_who_waits_learns_that_it_is_gone(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}instances = 5\nrestart = {{ policy = 'never' }}\n") as running:
        assert await running.fleet.wait([], "ready", 10)
        os.kill(running.keepers.pid, signal.SIGKILL)
        assert await running.fleet.wait([], "stopped", 5)
        assert {one.exits[-1].cause for one in running.fleet.instances.values()} == {"unknown"}


async def test_where_none_will_live_launches_back_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}restart = {{ delay = '0.2s' }}\n") as running:
        await running.wait_state("a", "ready")
        with monkeypatch.context() as patch:
            patch.setattr(keeper_process, "ENTRY", "/nonexistent")
            os.kill(running.keepers.pid, signal.SIGKILL)
            await running.wait_event("worker.backoff")
            record = await running.wait_event("setup.failed")
            assert record["instance"] == "a"
            await trio.sleep(0.3)
            assert running["a"].status.incarnation <= 4  # no hot loop
            assert len(running.events("keeper.died")) == 1
        await until(lambda: running["a"].is_up, "a to be back")
        failed = next(one for one in running["a"].exits if one.cause == "setup")
        assert (failed.phase, failed.errno) == ("clone", "ECONNRESET")


async def test_one_that_hangs_at_its_start_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = tmp_path / "hang.py"
    entry.write_text("import time\ntime.sleep(1000)\n")
    monkeypatch.setattr(keeper_process, "ENTRY", str(entry))
    monkeypatch.setattr(keeper_start, "GREET_TIMEOUT_S", 0.05)
    before = descriptors()
    async with trio.open_nursery() as nursery:
        with pytest.raises(KeeperGoneError, match=r"no keeper can be started: it did not answer within 0\.05 s"):
            await some(tmp_path).open(nursery)
    assert links(descriptors() - before) == []


async def test_one_that_hangs_is_killed_by_the_next_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}") as first:
        await first.wait_state("a", "ready")
        keeper, pid = first.keepers.pid, first.pid("a")
        os.kill(keeper, signal.SIGSTOP)
        first.die()
    worker = os.pidfd_open(pid)
    monkeypatch.setattr(keeper_takeover, "GREET_TIMEOUT_S", 0.3)
    before = descriptors() - {worker}
    async with trio.open_nursery() as nursery:
        one = some(tmp_path)
        try:
            link, held, state_fd = await one.open(nursery)
        finally:
            with suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGCONT)
        assert (held, state_fd) == ([], -1)
        assert link.pid != keeper
        assert told(one) == ["keeper.died", "keeper.started"]
        with trio.fail_after(5):
            await trio.lowlevel.wait_readable(worker)  # it died with its keeper
        await one.dismiss()
    os.close(worker)
    assert links(descriptors() - before) == []


async def test_one_that_serves_another_daemon(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}") as running:
        await running.wait_state("a", "ready")
        before = descriptors()
        async with trio.open_nursery() as nursery:
            with pytest.raises(KeeperBusyError, match=rf"keeper \(pid {running.keepers.pid}\) serves another daemon"):
                await some(tmp_path).open(nursery)
        assert links(descriptors() - before) == []
        await running.wait_state("a", "ready")


async def test_too_few_descriptors_to_take_over_end_nobody(tmp_path: Path) -> None:
    async with fleet(tmp_path, f"[worker.a]\n{IDLE}instances = 4\n") as first:
        assert await first.fleet.wait([], "ready", 10)
        pids = {name: first.pid(name) for name in first.fleet.instances}
        first.die()
    before = descriptors()
    async with trio.open_nursery() as nursery:
        with descriptors_left(7), pytest.raises(AdoptionError, match="raise RLIMIT_NOFILE"):
            await some(tmp_path).open(nursery)
    assert links(descriptors() - before) == []
    async with fleet(tmp_path, first.text) as second:
        assert {name: second.pid(name) for name in second.fleet.instances} == pids


async def test_a_socket_that_cannot_be_used(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(KeeperGoneError, match="path too long"):
            await some(tmp_path / ("x" * 100)).open(nursery)
        stream = socket.socket(socket.AF_UNIX)
        with stream:
            stream.bind(str(tmp_path / "keeper.sock"))
            stream.listen()
            with pytest.raises(KeeperGoneError, match="cannot connect"):
                await some(tmp_path).open(nursery)


async def test_dismissed_while_its_replacement_starts(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        one = some(tmp_path)
        link, _, _ = await one.open(nursery)
        os.kill(link.pid, signal.SIGKILL)
        await link.gone.wait()
        async with trio.open_nursery() as both:
            both.start_soon(one.current)
            await until(one._lock.locked, "the replacement to be under way")
            await one.dismiss()
        assert one._link is not None
        assert one._link is not link
        assert one._link.gone.is_set()
        assert not (tmp_path / "keeper.sock").exists()
        with pytest.raises(KeeperGoneError, match="the daemon leaves"):
            await one.current()
        nursery.cancel_scope.cancel()


async def test_dismissing_one_that_hangs_ends_in_time(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        one = some(tmp_path, 0.5)
        link, _, _ = await one.open(nursery)
        os.kill(link.pid, signal.SIGSTOP)
        while True:  # until its buffer is full
            with trio.move_on_after(0.05) as scope:
                await link.hold_state(0)
            if scope.cancelled_caught:
                break
        async with trio.open_nursery() as both:
            both.start_soon(link.acknowledge, "nobody")
            both.start_soon(link.hold_state, 0)  # waits for room, and learns that there is nobody any more
            with trio.fail_after(3):
                await one.dismiss(0.1)
        os.kill(link.pid, signal.SIGCONT)
        nursery.cancel_scope.cancel()
    assert one._starts._process is not None
    one._starts._process.wait(5)


async def test_what_a_link_makes_of_messages() -> None:
    """Exits before and after they are asked for; words about nothing; the end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link = KeeperLink(ours)
    theirs.send(pack("exited", "a#0", 9, 0, 0, 0))  # connected, but not yet greeted
    theirs.send(pack("keeper", PROTOCOL, 7, 0, "0.1.0"))
    theirs.send(pack("end"))
    assert await link.greet() == ([], -1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.run)
        theirs.send(pack("exited", "a#1", 0x0B | 0x80, 1_500_000, 20, 30))
        theirs.send(pack("error", "ack: KeyError: nobody"))
        theirs.send(pack("exited", "a#2", 3 << 8, 0, 0, 0))
        second, first = await link.exit_status("a#2"), await link.exit_status("a#1")
        assert first is not None
        assert second is not None
        assert (first.code, first.signal, first.core_dumped) == (None, "SIGSEGV", True)
        assert first.rusage is not None
        assert (first.rusage.user_s, first.rusage.max_rss_bytes) == (1.5, 30 * 1024)
        assert (second.code, second.signal) == (3, None)
        theirs.recv(1000)
        await link.acknowledge("a#2")
        assert theirs.recv(1000) == pack("ack", "a#2")
        await link.acknowledge("a#2")  # once is enough
        nursery.start_soon(link.exit_status, "a#9")
        await trio.lowlevel.checkpoint()
        theirs.close()
        await link.gone.wait()
    assert await link.exit_status("a#9") is None
    await link.hold_state(0)
    with pytest.raises(KeeperGoneError):
        await link.launch("b#1", 0, (15, 1.0), {}, [])
    link.close()
    with pytest.raises(KeeperGoneError):
        await link.launch("b#2", 0, (15, 1.0), {}, [])


async def test_another_protocol_closes_what_was_taken() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    before = descriptors()
    with theirs:
        theirs.send(pack("protocol", PROTOCOL + 1))
        link = KeeperLink(ours)
        with pytest.raises(KeeperGoneError, match=f"another protocol: protocol {PROTOCOL + 1}"):
            await link.greet()
        socket.send_fds(theirs, [pack("keeper", PROTOCOL, 7, 1, "0.1.0")], [0])
        socket.send_fds(theirs, [pack("held", "a#1", 8, "RUNNING", 0, 0, 0, 0, 0)], [0, 1, 2])
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(KeeperGoneError):
            await link.greet()
        assert descriptors() == before
        link.close()
