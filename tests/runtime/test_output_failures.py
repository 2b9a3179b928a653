"""What becomes of a worker's output when its log file cannot be written."""

import json
import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.runtime import log_sink
from supervisor.runtime.output import OutputWriter
from supervisor.spec.model import Log
from supervisor.telemetry.bus import EventBus
from tests.accounts import Account, me
from tests.runtime.log_files import events, written


@pytest.fixture
def bus() -> EventBus:
    return EventBus("info")


@pytest.fixture
def writer(tmp_path: Path, bus: EventBus) -> Iterator[OutputWriter]:
    one = OutputWriter("web-0", str(tmp_path / "logs"), Log(), bus)
    one.begin(1)
    yield one
    one.close()


# Runs in a mount namespace of its own, on a tmpfs of 64 KiB: as root as it is, else in a user namespace too.
FULL_DISK = """
import json, os, sys
from supervisor.runtime import log_sink
from supervisor.runtime.log_line import decode
from supervisor.runtime.output import OutputWriter
from supervisor.spec.model import Log
from supervisor.telemetry.bus import EventBus

disk = sys.argv[1]
log_sink.RECOVERED_AFTER_S = 0.0
bus = EventBus()
writer = OutputWriter("web", disk + "/logs", Log(), bus)
writer.begin(1)
sent = [b"line %05d \\xc3\\xa9\\n" % number for number in range(3000)]
writer.feed("stdout", b"".join(sent[:100]))
filler = os.open(disk + "/filler", os.O_WRONLY | os.O_CREAT)
room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
os.write(filler, bytes(room - 8192))
writer.feed("stdout", b"".join(sent[100:2000]))       # fits in part
for number in range(2000, 2990):
    writer.feed("stdout", sent[number])
os.ftruncate(filler, 0)
writer.feed("stdout", b"".join(sent[2990:]))
writer.close()
lines = open(disk + "/logs/web.log", "rb").read().split(b"\\n")
kept = [decode(line).raw() for line in lines[:-1]]
print(json.dumps({
    "last": lines[-1].decode(),
    "ordered": kept == [line for line in sent if line in set(kept)],
    "kept": len(kept),
    "first": kept[:100] == sent[:100],
    "end": kept[-10:] == sent[2990:],
    "lost_lines": writer.lost_lines,
    "lost_bytes": writer.lost_bytes,
    "missing_bytes": sum(map(len, sent)) - sum(map(len, kept)),
    "events": [[record.event, record.fields] for record in bus._kept],
}))
"""


def on_small_disk(program: str, directory: Path, account: Account, python: Path) -> dict[str, object]:
    """Run it as this user with a mounted tmpfs as its argument."""
    disk = account.owns(directory)
    namespaces = ["--mount"] if account.uid == 0 else ["--user", "--map-root-user", "--mount"]
    script = f'mount -t tmpfs -o size=64k,mode=700 tmpfs "{disk}" && exec "{python}" -W error -c "$0" "{disk}"'
    done = subprocess.run(
        ["unshare", *namespaces, "sh", "-c", script, program],
        check=False,
        capture_output=True,
        cwd="/",
        timeout=60,
        **account.identity(),  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stderr.decode()
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("privileged", [False, True])
def test_a_full_disk_costs_lines_that_are_counted_and_nothing_else(
    privileged: bool, unprivileged: Account, program_bin: Path
) -> None:
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)  # noqa: S103 the other user has to get in
        disk = Path(top) / "disk"
        disk.mkdir()
        found = on_small_disk(FULL_DISK, disk, me() if privileged else unprivileged, program_bin / "python")
    assert found["last"] == ""
    assert found["first"]
    assert found["end"]
    assert found["ordered"]
    assert isinstance(found["kept"], int)
    assert 110 < found["kept"] < 3000
    assert found["lost_lines"] == 3000 - found["kept"]
    assert found["lost_bytes"] == found["missing_bytes"]
    assert isinstance(found["events"], list)
    names = [name for name, _fields in found["events"]]
    assert names[0] == "log.failed"
    assert names[-1] == "log.recovered"
    failed = found["events"][0][1]
    assert failed["errno"] == "ENOSPC"
    assert (failed["instance"], failed["incarnation"]) == ("web", 1)
    assert (
        sum(fields["lost_lines"] for name, fields in found["events"] if name == "log.recovered") == found["lost_lines"]
    )


READ_ONLY = """
import json, subprocess, sys
from supervisor.runtime import log_sink
from supervisor.runtime.output import OutputWriter
from supervisor.spec.model import Log
from supervisor.telemetry.bus import EventBus

disk = sys.argv[1]
log_sink.RECOVERED_AFTER_S = 0.0
bus = EventBus()
writer = OutputWriter("web", disk + "/logs", Log(max_size_bytes=4096), bus)
remount = ["mount", "-o"]
writer.feed("stdout", b"before\\n")
writer.close()
subprocess.run([*remount, "remount,bind,ro", disk], check=True)
for _ in range(100):
    writer.feed("stdout", b"lost\\n")
subprocess.run([*remount, "remount,bind,rw", disk], check=True)
writer.feed("stdout", b"after\\n")
writer.close()
print(json.dumps({
    "events": [[record.event, record.fields] for record in bus._kept],
    "text": open(disk + "/logs/web.log").read(),
}))
"""


@pytest.mark.parametrize("privileged", [False, True])
def test_a_disk_that_became_read_only(privileged: bool, unprivileged: Account, program_bin: Path) -> None:
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)  # noqa: S103 the other user has to get in
        disk = Path(top) / "disk"
        disk.mkdir()
        found = on_small_disk(READ_ONLY, disk, me() if privileged else unprivileged, program_bin / "python")
    assert isinstance(found["events"], list)
    (failed, told), (recovered, lost) = found["events"]
    assert (failed, told["errno"]) == ("log.failed", "EROFS")
    assert (recovered, lost["lost_lines"], lost["lost_bytes"]) == ("log.recovered", 100, 500)
    assert [json.loads(line)["m"] for line in str(found["text"]).splitlines()] == ["before", "after"]


def test_one_event_for_a_failure_that_lasts(tmp_path: Path, bus: EventBus, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "logs"
    path.write_bytes(b"in the way of the directory")
    one = OutputWriter("web", str(path), Log(), bus)
    one.begin(3)
    for _ in range(100):
        one.feed("stdout", b"lost\n")
    assert [event for event, _ in events(bus)] == ["log.failed"]
    path.unlink()
    one.feed("stdout", b"kept\n")
    assert [event for event, _ in events(bus)] == ["log.failed"]  # not trusted yet
    monkeypatch.setattr(log_sink, "RECOVERED_AFTER_S", 0.0)
    one.feed("stdout", b"kept\n")
    name, fields = events(bus)[-1]
    assert name == "log.recovered"
    assert (fields["lost_lines"], fields["lost_bytes"]) == (100, 500)
    assert written(path, "stdout") == b"kept\nkept\n"
    one.close()
    assert len(events(bus)) == 2


def test_what_was_never_recovered_is_said_at_the_end(tmp_path: Path, bus: EventBus) -> None:
    path = tmp_path / "logs"
    path.write_bytes(b"")
    one = OutputWriter("web", str(path), Log(), bus)
    one.feed("stdout", b"lost\nlost too")
    one.close()
    assert [event for event, _ in events(bus)] == ["log.failed", "log.dropped"]
    assert events(bus)[-1][1]["lost_bytes"] == len(b"lost\nlost too")


def test_no_descriptor_left_for_the_log(writer: OutputWriter, bus: EventBus, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    taken = [os.dup(0) for _ in range(8)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(taken) + 1, soft), hard))
    try:
        filling: list[int] = []
        try:
            while True:
                filling.append(os.dup(0))
        except OSError:
            pass
        writer.feed("stdout", b"lost\n")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in [*taken, *filling]:
            os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == used
    assert events(bus)[0][1]["errno"] == "EMFILE"
    writer.feed("stdout", b"kept\n")
    assert written(tmp_path / "logs", "stdout") == b"kept\n"
