"""The daemon's own records in their file."""

import errno
import os
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervisor.runtime import record_log
from supervisor.runtime.record_line import FILE_NAME, RecordLine, decode
from supervisor.runtime.record_log import RecordLog
from supervisor.telemetry.bus import EventBus, EventRecord


def lines(path: Path) -> list[RecordLine]:
    return [decode(line) for line in path.read_bytes().splitlines()]


async def test_records_are_written_at_the_next_chance(tmp_path: Path) -> None:
    bus = EventBus()
    records = RecordLog(str(tmp_path), bus)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(records.run)
        bus.publish("worker.running", worker="web", instance="web-0", incarnation=3, pid=7)
        bus.publish("setup.phase", "debug", worker="web")
        await wait_all_tasks_blocked()
        [one] = lines(tmp_path / FILE_NAME)
        assert (one.level, one.event, one.fields["pid"]) == ("info", "worker.running", 7)
        assert one.text() == "web-0#3 runs as process 7"
        bus.publish("worker.failed", "error", worker="web", instance="web-0", reason="no luck")
        await wait_all_tasks_blocked()
        assert [one.event for one in lines(tmp_path / FILE_NAME)] == ["worker.running", "worker.failed"]
        nursery.cancel_scope.cancel()
    records.close()


def test_those_of_the_end_are_written_without_an_event_loop(tmp_path: Path) -> None:
    bus = EventBus()
    records = RecordLog(str(tmp_path), bus)
    bus.publish("daemon.failed", "error", error="\udcff", odd=object())
    records.close()
    assert [one.event for one in lines(tmp_path / FILE_NAME)] == ["daemon.failed"]


def test_many_at_once_do_not_wait_in_memory(tmp_path: Path) -> None:
    bus = EventBus()
    records = RecordLog(str(tmp_path), bus)
    for number in range(record_log.WAITING):
        bus.publish("worker.running", pid=number)
    assert len(lines(tmp_path / FILE_NAME)) == record_log.WAITING
    records.close()


def test_the_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_log, "MAX_SIZE_BYTES", 4096)
    bus = EventBus("debug")
    records = RecordLog(str(tmp_path), bus)
    for number in range(2000):
        bus.publish("worker.running", pid=number)
        records.flush()
    records.close()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == record_log.KEEP + 1
    assert max(sizes) <= 4096
    assert lines(tmp_path / FILE_NAME)[-1].fields["pid"] == 1999


def test_a_file_that_takes_nothing_is_told_of_once_and_recovers(tmp_path: Path) -> None:
    heard: list[EventRecord] = []
    bus = EventBus()
    bus.keep(heard.append)
    directory = tmp_path / "logs"
    directory.write_text("in the way")
    records = RecordLog(str(directory), bus)
    for number in range(3):
        bus.publish("worker.running", pid=number)
        records.flush()
    [failed] = [one for one in heard if one.event == "records.failed"]
    assert failed.fields["errno"] == errno.errorcode[errno.ENOTDIR]
    os.unlink(directory)
    bus.publish("worker.running", pid=3)
    records.close()
    [recovered] = [one for one in heard if one.event == "records.recovered"]
    assert recovered.fields["lost"] == 4  # three of ours and the one that told of it
    assert [one.event for one in lines(directory / FILE_NAME)] == ["worker.running", "records.recovered"]
