"""What is read and not written is counted where the next daemon finds it, and told by it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from supervisor.runtime.capture import READ_BYTES
from supervisor.runtime.output import OutputWriter
from supervisor.runtime.unwritten import SEGMENT_BYTES, SLOT_BYTES, UnwrittenFile
from supervisor.spec.model import Log
from supervisor.telemetry.bus import EventBus
from tests.runtime.fleets import IDLE, fleet, until
from tests.runtime.log_files import events, written

KILLED = """
import os, signal, sys
from supervisor.runtime.output import OutputWriter
from supervisor.runtime.unwritten import UnwrittenFile
from supervisor.spec.model import Log
from supervisor.telemetry.bus import EventBus

top, where = sys.argv[1:]
unwritten = UnwrittenFile(top + "/unwritten", EventBus()).of("web")
writer = OutputWriter("web", top + "/logs", Log(), EventBus(), unwritten=unwritten)
writer.begin(1)
writer.feed("stdout", b"kept\\n")
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if where == "read":
    writer.unwritten.reading("stdout", 65536)
    kill()
if where == "write":
    os.writev = kill
    writer.feed("stdout", b"read, not written\\n")
if where == "line":
    writer.feed("stderr", b"no end")
    kill()
if where == "calm":
    kill()
"""


def left(directory: Path, where: str) -> list[dict[str, object]]:
    """What the next one tells after a process was killed there."""
    directory.mkdir()
    done = subprocess.run([sys.executable, "-c", KILLED, str(directory), where], check=False)
    assert done.returncode == -signal.SIGKILL
    bus = EventBus()
    unwritten = UnwrittenFile(str(directory / "unwritten"), bus).of("web")
    writer = OutputWriter("web", str(directory / "logs"), Log(), bus, unwritten=unwritten)
    writer.tell_left(1)
    writer.tell_left(1)  # once
    assert written(directory / "logs", "stdout") == b"kept\n"
    return [fields for event, fields in events(bus) if event == "log.lost"]


def test_a_process_killed_at_each_step_leaves_an_upper_limit(tmp_path: Path) -> None:
    assert left(tmp_path / "calm", "calm") == []
    for where, most, cut in (("read", READ_BYTES, ["stdout"]), ("write", 18, []), ("line", 6, ["stderr"])):
        (lost,) = left(tmp_path / where, where)
        assert (lost["lost_bytes_most"], lost["cut_streams"]) == (most, cut), where
        assert (lost["instance"], lost["incarnation"]) == ("web", 1)


def test_slots_grow_are_found_again_and_given_back(tmp_path: Path) -> None:
    path, names = str(tmp_path / "unwritten"), [f"w-{number}" for number in range(SEGMENT_BYTES // SLOT_BYTES * 2)]
    first = UnwrittenFile(path, EventBus())
    for number, name in enumerate(names):
        first.of(name).add(number)
    assert os.path.getsize(path) == 3 * SEGMENT_BYTES
    second = UnwrittenFile(path, EventBus())
    assert [second.of(name).left_bytes for name in names] == list(range(len(names)))
    assert second.others(names[1:]) == names[:1]
    second.forget(names[0])
    assert second.of("new").left_bytes == 0
    third = UnwrittenFile(path, EventBus())
    assert third.of(names[0]).left_bytes == 0
    assert third.of(names[5]).left_bytes == 5
    assert os.path.getsize(path) == 3 * SEGMENT_BYTES
    third.close()
    assert not os.path.exists(path)


def test_a_file_that_is_not_ours_to_use(tmp_path: Path) -> None:
    (tmp_path / "unwritten").write_text("something else\n" * 1000)
    assert UnwrittenFile(str(tmp_path / "unwritten"), EventBus()).of("web").left_bytes == 0
    bus = EventBus()
    (tmp_path / "link").symlink_to("unwritten")
    without = UnwrittenFile(str(tmp_path / "link"), bus)
    without.of("web").add(1)
    without.of("db").add(1)
    ((event, fields),) = events(bus)
    assert event == "log.unwatched"
    assert str(tmp_path / "link") in str(fields["error"])


async def test_the_next_daemon_tells_it_also_of_workers_that_have_left(tmp_path: Path) -> None:
    talks = 'command = ["sh", "-c", "printf half; exec sleep 1000"]\n'
    async with fleet(tmp_path, f"[worker.a]\n{talks}[worker.gone]\n{talks}[worker.b]\n{IDLE}") as first:
        for name in ("a", "gone"):
            await until(lambda: first[name].output.read_bytes >= 4, "output")  # noqa: B023
        left_behind = (tmp_path / "unwritten").read_bytes()
        first.die()
    (tmp_path / "unwritten").write_bytes(left_behind)  # a process that is killed flushes nothing; this one did
    async with fleet(tmp_path, f"[worker.a]\n{talks}[worker.b]\n{IDLE}") as second:
        told = {one.fields["instance"]: one.fields for one in second.events("log.lost")}
        assert {name: fields["lost_bytes_most"] for name, fields in told.items()} == {"a": 4, "gone": 4}
        assert told["a"]["cut_streams"] == ["stdout"]
        assert told["a"]["incarnation"] == 1
        assert second["a"].status.incarnation == 1
    assert not (tmp_path / "unwritten").exists()
