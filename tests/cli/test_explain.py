"""`explain` as a picture, with fewer exits, and without a daemon."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from supervisor.cli.main import main
from supervisor.runtime.history import History
from supervisor.runtime.record_line import encode, path_beside
from supervisor.spec.records import ExitRecord, LaunchRecord, PhaseRecord, Usual
from tests.cli.conftest import Served


def launch(number: int, took_us: int) -> LaunchRecord:
    phases = (PhaseRecord("clone", "", "ok", 0, took_us), PhaseRecord("exec", "true", "ok", took_us, 0))
    return LaunchRecord("web-0", number, 1000.0 + number, took_us, "ok", phases)


def test_so_many_exits_and_what_is_usual(nsv: Served) -> None:
    job = nsv.fleet.instances["job"]
    job.exits = [ExitRecord(number, "exit", 1000.0, code=number) for number in range(1, 9)]
    job.usual = Usual(4, 1000, (300,))
    out = nsv("explain", "job").out
    assert [f"  #{number} " in out for number in range(1, 9)] == [False] * 3 + [True] * 5
    assert "; usually 1.0ms (median of 4)" in out
    assert nsv("explain", "job", "-n", "8").out.count("  exited with code") == 8
    assert nsv("explain", "job", "-n", "0").status == 2
    assert json.loads(nsv("explain", "job", "--json").out)[0]["usual"]["phases_us"] == [300]


def test_picture(nsv: Served, tmp_path: Path) -> None:
    file = tmp_path / "job.svg"
    assert nsv("explain", "job", "--svg", str(file)) == (0, "", f"{file} shows job#7\n")
    assert ET.parse(file).getroot().tag.endswith("svg")  # noqa: S314 our own
    assert nsv("explain", "job", "--svg", "-").out == file.read_text(encoding="utf-8")
    assert nsv("explain", "web", "--svg", str(file)) == (1, "", "cannot draw web: no launch of it is known\n")
    nowhere = str(tmp_path / "no" / "file")
    assert nsv("explain", "job", "--svg", nowhere) == (1, "", f"cannot write {nowhere}: No such file or directory\n")
    assert nsv("explain", "job", "--svg", "-", "--json").status == 2


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a daemon has left of web-0 and web-1."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("NSVISOR_SOCKET", raising=False)
    state = tmp_path / "nsvisor"
    for part in ("logs", "history"):
        (state / part).mkdir(parents=True)
    (state / "logs" / "web-0.log").touch()
    history = History(str(state / "history"), "web-0")
    for number in (1, 2, 3):
        history.add_launch(launch(number, 1000 * number))
    history.add_exit(ExitRecord(3, "signal", 1010.0, 5.0, signal="SIGSEGV", stderr_tail=("segfault",)))
    history.save()
    History(str(state / "history"), "web-1").save()
    with open(path_beside(str(state / "logs")), "wb") as file:
        for number in range(9):
            of = {"worker": "web", "instance": "web-0", "incarnation": number}
            file.write(encode(1010.0 + number, "warning", "worker.backoff", {**of, "delay_s": 1.0, "failures": number}))
            file.write(encode(1010.0 + number, "info", "setup.completed", {**of, "duration_us": 1}))
        file.write(b"spoilt\n")
    return state


@pytest.mark.usefixtures("state")
def test_without_a_daemon_its_files_tell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "web-0"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith("No daemon answers. web-0, as its files tell: it was killed by SIGSEGV after 5.0s.\n")
    assert "Last launch: web-0#3" in out
    assert "; usually 1.0ms (median of 2)" in out
    assert "  | segfault\n" in out
    heard = out[out.index("Last records of the daemon:") :].splitlines()
    assert [line.split("  ")[-1] for line in heard[1:6]] == [
        f"web-0#{number} failed {number} times and is started again in 1 s" for number in range(4, 9)
    ]
    assert "Output: nsvisor logs web-0" in out


def test_without_a_daemon_as_json_and_as_a_picture(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "web", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == "no daemon answers: this is what its files tell\n"
    one, other = json.loads(out)
    assert (one["name"], one["daemon"], one["exits"][0]["signal"], len(one["records"])) == (
        "web-0",
        False,
        "SIGSEGV",
        5,
    )
    assert one["log_path"] == str(state / "logs" / "web-0.log")
    assert (other["name"], other["launches"], other["log_path"], other["records"]) == ("web-1", [], None, [])
    assert main(["explain", "web", "--svg", "-"]) == 0
    assert capsys.readouterr().out.startswith("<?xml")


def test_what_a_worker_said_last_does_not_drive_the_terminal(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = "\x1b]0;title\x07\x9b2J"
    history = History(str(state / "history"), "web-1")
    history.add_exit(ExitRecord(3, "exit", 1010.0, 5.0, code=1, stderr_tail=(said, "over\ntwo lines")))
    history.save()
    assert main(["explain", "web-1"]) == 0
    out = capsys.readouterr().out
    assert "\n  | \\x1b]0;title\\x07\\x9b2J\n  | over\\ntwo lines\n" in out
    assert main(["explain", "web-1", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.replace("\n", "").isprintable()
    assert json.loads(out)[0]["exits"][0]["stderr_tail"][0] == said


@pytest.mark.usefixtures("state")
def test_without_a_daemon_nobody_of_that_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "wbe-0"]) == 3
    assert "did you mean web-0?" in capsys.readouterr().err
    assert main(["--socket", "/nonexistent/control.sock", "explain", "web-0"]) == 4
