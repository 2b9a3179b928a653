"""configure() changes the whole process, so each case runs in one of its own."""

import json
import os
import pty
import subprocess
import sys

PUBLISH = """
import sys
from supervisor.telemetry.bus import EventBus
from supervisor.telemetry.setup import configure
configure(sys.argv[1])
bus = EventBus(sys.argv[1])
bus.publish("worker.running", "info", worker="web", pid=7, errno=None)
bus.publish("setup.phase", "debug", phase="clone")
"""


def run(program: str, *arguments: str, **streams: int) -> "subprocess.CompletedProcess[bytes]":
    kind = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run([sys.executable, "-W", "error", "-c", program, *arguments], check=False, **kind)  # type: ignore[call-overload,no-any-return]


def on_terminal(program: str, *arguments: str, **environ: str) -> str:
    master, slave = pty.openpty()
    try:
        command = [sys.executable, "-c", program, *arguments]
        subprocess.run(command, check=True, stderr=slave, env={**os.environ, "TERM": "xterm", **environ}, timeout=30)
        return os.read(master, 65536).decode()
    finally:
        os.close(master)
        os.close(slave)


def test_json_lines_on_standard_error_only() -> None:
    done = run(PUBLISH, "info")
    assert done.returncode == 0
    assert done.stdout == b""
    [record] = [json.loads(line) for line in done.stderr.splitlines()]
    assert list(record) == ["timestamp", "level", "event", "worker", "pid", "errno"]
    assert record["level"] == "info"
    assert record["event"] == "worker.running"


def test_debug_shows_more() -> None:
    assert len(run(PUBLISH, "debug").stderr.splitlines()) == 2
    assert run(PUBLISH, "error").stderr == b""


def test_words_on_a_terminal() -> None:
    text = on_terminal(PUBLISH, "info", NO_COLOR="")
    assert "worker.running" in text
    assert "\x1b[" in text
    assert "{" not in text
    assert "errno" not in text


def test_no_colour_where_it_is_not_wanted() -> None:
    for environ in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        text = on_terminal(PUBLISH, "info", **environ)
        assert "worker.running" in text
        assert "\x1b[" not in text


def test_json_can_be_forced_on_a_terminal() -> None:
    program = PUBLISH.replace("configure(sys.argv[1])", "configure(sys.argv[1], force_json=True)")
    assert json.loads(on_terminal(program, "info"))["pid"] == 7


def test_a_stream_of_ones_own() -> None:
    done = run(PUBLISH.replace("configure(sys.argv[1])", "configure(sys.argv[1], stream=sys.stdout)"), "info")
    assert done.stderr == b""
    assert json.loads(done.stdout)["pid"] == 7


def test_standard_error_closed_full_or_broken_does_not_matter() -> None:
    program = "import os, sys; os.close(2) if sys.argv[2] == 'closed' else None\n" + PUBLISH + "print('fine')"
    full = os.open("/dev/full", os.O_WRONLY)
    reader, broken = os.pipe()
    os.close(reader)
    try:
        for how, stream in (("closed", subprocess.PIPE), ("full", full), ("broken", broken)):
            done = run(program, "info", how, stderr=stream)
            assert (done.returncode, done.stdout) == (0, b"fine\n"), how
    finally:
        os.close(full)
        os.close(broken)


def test_libraries_and_warnings_come_as_records_too() -> None:
    program = """
import logging, warnings
from supervisor.telemetry.setup import configure
configure()
configure()
logging.getLogger("hypercorn.error").error("no %s", "luck")
logging.getLogger("quiet").info("nothing")
logging.getLogger("broken").warning("%d", "x")
warnings.simplefilter("default")
warnings.warn("old")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("lib").exception("failed")
"""
    first, second, third, fourth = [json.loads(line) for line in run(program).stderr.splitlines()]
    assert (first["event"], first["level"]) == ("library.warned", "error")
    assert (first["logger"], first["message"]) == ("hypercorn.error", "no luck")
    assert second["message"] == "%d"
    assert "UserWarning: old" in third["message"]
    assert "ZeroDivisionError" in fourth["exception"]


def test_rich_is_left_out_and_can_be_had_afterwards() -> None:
    program = """
import sys
import supervisor.telemetry.bus, supervisor.telemetry.setup
assert not any(name.split(".")[0] == "rich" for name in sys.modules)
import rich.console
import supervisor.telemetry.light
assert "prometheus_client" not in sys.modules and "psutil" not in sys.modules
"""
    assert run(program).returncode == 0
    assert run("import rich; " + program.partition("assert not")[0] + "import rich.console").returncode == 0
