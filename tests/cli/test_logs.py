import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from supervisor.cli.log_lines import Line
from supervisor.cli.main import main
from supervisor.runtime.log_line import encode_lines, head
from supervisor.runtime.record_line import encode, path_beside
from tests.cli.conftest import Served


def write(path: Path, when: float, text: str | bytes, stream: str = "stdout", incarnation: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text if isinstance(text, bytes) else text.encode()
    with open(path, "ab") as file:
        file.write(encode_lines(head(when, stream, incarnation), data + b"\n"))


@pytest.fixture
def logs(nsv: Served, tmp_path: Path) -> dict[str, Path]:
    """Log files of web-0 and web-1; job's output goes nowhere."""
    paths = {name: tmp_path / f"{name}.log" for name in ("web-0", "web-1")}
    for name, path in paths.items():
        nsv.fleet.instances[name].log_path = str(path)
    for second in range(4):
        name = f"web-{second % 2}"
        write(paths[name], 1000.0 + second, f"line {second}", "stderr" if second == 3 else "stdout")
    return paths


@pytest.mark.usefixtures("logs")
def test_one_instance_is_shown_as_it_printed(nsv: Served) -> None:
    assert nsv("logs", "web-0") == (0, "line 0\nline 2\n", "")


@pytest.mark.usefixtures("logs")
def test_several_are_merged_by_time_and_named(nsv: Served) -> None:
    lines = [f"web-{number % 2} | line {number}" for number in range(4)]
    assert nsv("logs", "web").out.splitlines() == lines
    assert nsv("logs", "web-1", "web-0").out.splitlines() == lines
    assert nsv("logs", "-n", "1", "web").out.splitlines() == lines[2:]


@pytest.mark.usefixtures("logs")
def test_selections(nsv: Served) -> None:
    assert nsv("logs", "web", "--stream", "stderr").out == "web-1 | line 3\n"
    assert nsv("logs", "web", "--since", "1002").out.splitlines() == ["web-0 | line 2", "web-1 | line 3"]
    assert nsv("logs", "web", "--until", "1000.5").out.splitlines() == ["web-0 | line 0"]
    assert nsv("logs", "web", "--since", "1001", "-n", "1", "--stream", "stdout").out.splitlines() == [
        "web-1 | line 1",
        "web-0 | line 2",
    ]
    assert nsv("logs", "web", "--since", "1h").out == ""


@pytest.mark.usefixtures("logs")
def test_timestamps(nsv: Served) -> None:
    (line,) = nsv("logs", "web-1", "-t", "-n", "1").out.splitlines()
    assert line.endswith(".000 line 3")


def test_json_is_what_is_stored(nsv: Served, logs: dict[str, Path]) -> None:
    assert nsv("logs", "web-0", "--json").out == logs["web-0"].read_text(encoding="utf-8")
    objects = [json.loads(line) for line in nsv("logs", "web", "--json").out.splitlines()]
    assert [(one["instance"], one["m"]) for one in objects] == [(f"web-{n % 2}", f"line {n}") for n in range(4)]


def test_bytes_that_are_no_text_and_lines_that_are_no_json(nsv: Served, logs: dict[str, Path]) -> None:
    write(logs["web-0"], 2000.0, b"caf\xe9 \xff")
    with open(logs["web-0"], "ab") as file:
        file.write(b"not ours\n")
    assert nsv("logs", "web-0", "-n", "2").out == "caf\ufffd \ufffd\nnot ours\n"
    assert "not ours" not in nsv("logs", "web-0", "--since", "1000").out


def test_pieces_of_a_long_line_are_joined(nsv: Served, logs: dict[str, Path]) -> None:
    def piece(stream: str, text: str, *, partial: bool = True) -> None:
        stored = {"t": 1010.0, "s": stream, "i": 1, **({"p": True} if partial else {}), "m": text}
        with logs["web-0"].open("a") as file:
            file.write(json.dumps(stored) + "\n")

    for text in ("one ", "two "):
        piece("stdout", text)
    piece("stdout", "three", partial=False)
    piece("stdout", "cut ")
    piece("stderr", "off", partial=False)
    piece("stdout", "open")
    shown = "one two three\ncut \noff\nopen\n"
    assert nsv("logs", "web-0", "--since", "1010").out == shown
    named = nsv("logs", "web", "--since", "1010").out
    assert named == "".join(f"web-0 | {line}\n" for line in shown.splitlines())
    assert len(nsv("logs", "web-0", "--json", "--since", "1010").out.splitlines()) == 6


@pytest.fixture
def timeline(logs: dict[str, Path]) -> Path:
    """Beside them the daemon's records: of web-0, of job, of itself."""
    path = Path(path_beside(str(logs["web-0"].parent)))

    def record(when: float, level: str, event: str, **fields: object) -> None:
        with path.open("ab") as file:
            file.write(encode(when, level, event, fields))

    def phase(when: float, instance: str, name: str, outcome: str, level: str = "info", **fields: object) -> None:
        of = {"worker": instance.partition("-")[0], "instance": instance, "incarnation": 1}
        record(when, level, "setup.phase", **of, phase=name, duration_us=900, outcome=outcome, **fields)

    record(999.0, "info", "daemon.ready", instances=3)
    phase(999.5, "web-0", "clone", "ok")
    record(999.6, "info", "setup.completed", worker="web", instance="web-0", incarnation=1, duration_us=4000)
    phase(999.7, "job", "mount.bind", "failed", "error", errno="ENOENT", hint="It is absent. Try: ls")
    record(1000.5, "warning", "worker.exited", worker="web", instance="web-0", incarnation=1, cause="exit", code=3)
    record(1000.6, "warning", "worker.backoff", worker="web", instance="web-0", incarnation=1, delay_s=0.5, failures=1)
    return path


@pytest.mark.usefixtures("timeline")
def test_all_is_one_timeline_with_what_the_daemon_did(nsv: Served, logs: dict[str, Path]) -> None:
    write(logs["web-0"], 1003.0, "again", incarnation=2)
    assert nsv("logs", "--all", "web-0").out.splitlines() == [
        "nsvisor * ready, with 3 instances",
        "web-0 * web-0#1: sandbox built in 4 ms",
        "web-0 | line 0",
        "web-0 * warning: web-0#1 ended (exit) with exit code 3",
        "web-0 * warning: web-0#1 failed 1 times and is started again in 0.5 s",
        "web-0 | line 2",
        "web-0 | again",
    ]
    assert len(nsv("logs", "--all").out.splitlines()) == 10
    assert nsv("logs", "--all", "job").out.splitlines()[1:] == [
        "job * error: job#1: mount.bind failed after 0.9 ms: ENOENT. It is absent. Try: ls"
    ]
    assert nsv("logs", "--all", "-n", "1", "web-0").out.splitlines() == ["web-0 | again"]
    assert (
        nsv("logs", "--all", "-n", "1", "job").out.splitlines()[-1].startswith("job * error: job#1: mount.bind failed")
    )
    assert nsv("logs", "-n", "0", "--all").out == ""


@pytest.mark.usefixtures("timeline")
@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("--phase", "clone"), ["web-0 * web-0#1: clone ok after 0.9 ms"]),
        (("--phase", "clone", "web-1"), []),
        (("--level", "error"), ["job * error: job#1: mount.bind failed after 0.9 ms: ENOENT. It is absent. Try: ls"]),
        (
            ("--level", "warning", "--grep", "started again", "web"),
            ["web-0 * warning: web-0#1 failed 1 times and is started again in 0.5 s"],
        ),
        (
            ("--level", "info", "--until", "999.5"),
            ["nsvisor * ready, with 3 instances", "web-0 * web-0#1: clone ok after 0.9 ms"],
        ),
        (
            ("--all", "--stream", "stderr", "--since", "1000.6"),
            ["web-0 * warning: web-0#1 failed 1 times and is started again in 0.5 s", "web-1 | line 3"],
        ),
        (("--grep", "NE [02]", "-i"), ["web-0 | line 0", "web-0 | line 2"]),
        (("--grep", "^line [12]$", "web-0"), ["line 2"]),
        (("--incarnation", "2"), []),
        (("--incarnation", "1", "--all", "-n", "1", "web-0"), ["web-0 | line 2"]),
    ],
)
def test_what_is_chosen(nsv: Served, words: tuple[str, ...], shown: list[str]) -> None:
    out = nsv("logs", *words).out
    assert out.splitlines() == shown


def test_last_incarnation(nsv: Served, logs: dict[str, Path]) -> None:
    """The fleet says that it is the third."""
    write(logs["web-0"], 1010.0, "third", incarnation=3)
    assert nsv("logs", "web", "--incarnation", "last").out == "web-0 | third\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--phase", "mount.bnd"), "no such phase: mount.bnd (did you mean mount.bind?)"),
        (("--grep", "("), "cannot read '(' as a regular expression: missing )"),
        (("--incarnation", "0"), "cannot read '0' as an incarnation: it may be a number from 1 on, or \"last\""),
        (("--until", "1", "-f"), "--until ends in the past"),
        (("--level", "loud"), "'loud' is not one of"),
    ],
)
def test_what_cannot_be_chosen(nsv: Served, words: tuple[str, ...], complaint: str) -> None:
    status, out, err = nsv("logs", *words)
    assert (status, out) == (2, "")
    assert complaint in err


def test_json_of_records_has_their_instance_too(nsv: Served, timeline: Path) -> None:
    objects = [json.loads(line) for line in nsv("logs", "--all", "--json", "web").out.splitlines()]
    assert [one["instance"] for one in objects] == ["nsvisor", *["web-0"] * 5, "web-1", "web-0", "web-1"]
    assert objects[1]["event"] == "setup.phase"
    assert timeline.read_text().splitlines()[1].removeprefix("{") in nsv("logs", "--all", "--json").out


def test_records_without_output(nsv: Served, timeline: Path) -> None:
    with timeline.open("ab") as file:
        file.write(b"not ours\n")
    nsv.fleet.instances["web-0"].log_path = str(timeline.with_name("none.log"))
    assert "web-0#1: sandbox built in 4 ms" in nsv("logs", "web-0", "--all").out


def test_each_worker_has_a_colour_but_for_no_color(nsv: Served, timeline: Path) -> None:
    assert timeline.exists()
    command = f"{sys.executable} -m supervisor --socket {nsv.path} logs --all web"
    script = ["script", "-qec", command, "/dev/null"]
    environ = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm"}
    coloured = subprocess.run(script, check=True, capture_output=True, text=True, env=environ).stdout
    prefixes = {line.partition(" ")[0] for line in coloured.splitlines()}
    assert prefixes == {"\x1b[1mnsvisor", "\x1b[36mweb-0", "\x1b[32mweb-1"}
    assert "\x1b[33mwarning: web-0#1 ended" in coloured
    plain = subprocess.run(script, check=True, capture_output=True, text=True, env=environ | {"NO_COLOR": "1"}).stdout
    assert "\x1b" not in plain


def test_output_that_goes_nowhere(nsv: Served) -> None:
    journalctl = "journalctl" if os.getuid() == 0 else "journalctl --user"
    assert nsv("logs", "job") == (
        1,
        "",
        f"cannot show logs of job: log.sink is null, or journald: try {journalctl} NSVISOR_INSTANCE=job\n",
    )


def test_follow_survives_rotation_and_merges(nsv: Served, logs: dict[str, Path]) -> None:
    command = [sys.executable, "-m", "supervisor", "--socket", nsv.path, "logs", "-f", "-n", "1", "web"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["web-0 | line 2\n", "web-1 | line 3\n"]
        write(logs["web-0"], time.time(), "before")
        logs["web-0"].rename(f"{logs['web-0']}.1")
        write(logs["web-0"], time.time(), "after")
        assert [process.stdout.readline() for _ in range(2)] == ["web-0 | before\n", "web-0 | after\n"]
        write(logs["web-1"], time.time(), "other")
        assert process.stdout.readline() == "web-1 | other\n"
        process.terminate()
        process.wait(10)


def test_follow_takes_in_what_a_reload_brings(nsv: Served, logs: dict[str, Path]) -> None:
    command = [sys.executable, "-m", "supervisor", "--socket", nsv.path, "logs", "-f", "-n", "1", "web-0", "job"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "line 2\n"
        path = logs["web-0"].with_name("job.log")
        write(path, 1000.0, "long ago")
        write(path, time.time(), "new here")
        nsv.fleet.instances["job"].log_path = str(path)
        assert process.stdout.readline() == "job | new here\n"
        write(logs["web-0"], time.time(), "still here")
        assert process.stdout.readline() == "web-0 | still here\n"
        process.terminate()
        process.wait(10)


def test_without_a_daemon_the_state_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("NSVISOR_SOCKET", raising=False)
    for name in ("web-0", "web-1", "web-api", "db"):
        write(tmp_path / "nsvisor" / "logs" / f"{name}.log", 1000.0, f"I am {name}")
    assert main(["logs", "web"]) == 0
    assert capsys.readouterr().out == "web-0 | I am web-0\nweb-1 | I am web-1\n"
    assert main(["logs", "db"]) == 0
    assert capsys.readouterr().out == "I am db\n"
    (tmp_path / "nsvisor" / "history").mkdir()
    (tmp_path / "nsvisor" / "history" / "mute.json").write_text('{"incarnation": 4}')
    with open(path_beside(str(tmp_path / "nsvisor" / "logs")), "wb") as file:
        file.write(encode(999.0, "info", "worker.running", {"worker": "mute", "instance": "mute", "incarnation": 4}))
    assert main(["logs", "mute", "--incarnation", "last", "--all"]) == 0
    assert capsys.readouterr().out == "mute * mute#4 runs\n"
    assert main(["logs"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["logs", "dbs"]) == 3
    assert "did you mean db?" in capsys.readouterr().err


def test_terminal_is_not_driven_by_what_a_worker_prints(nsv: Served, logs: dict[str, Path]) -> None:
    write(logs["web-0"], 2000.0, "\x1b[31mred\x1b[0m\x1b]0;title\x07\ttab\x9b2J")
    assert nsv("logs", "web-0", "-n", "1").out == "\x1b[31mred\x1b[0m\x1b]0;title\x07\ttab\x9b2J\n"
    command = f"{sys.executable} -m supervisor --socket {nsv.path} logs web-0 -n 1"
    done = subprocess.run(["script", "-qec", command, "/dev/null"], check=True, capture_output=True, text=True)
    assert done.stdout.rstrip() == "\x1b[31mred\x1b[0m\\x1b]0;title\\x07\ttab\\x9b2J"


def test_json_on_a_terminal_does_not_drive_it_either(nsv: Served, logs: dict[str, Path]) -> None:
    write(logs["web-0"], 2000.0, "\x9b2J")
    command = f"{sys.executable} -m supervisor --socket {nsv.path} logs web-0 -n 1 --json"
    done = subprocess.run(["script", "-qec", command, "/dev/null"], check=True, capture_output=True, text=True)
    assert "\\u009b2J" in done.stdout
    assert json.loads(done.stdout)["m"] == "\x9b2J"


def test_files_that_cannot_be_read_are_named_and_the_others_shown(nsv: Served, logs: dict[str, Path]) -> None:
    path = logs["web-1"]
    path.rename(path.with_suffix(".away"))
    path.symlink_to(path.with_suffix(".away"))
    os.mkfifo(f"{path}.1")
    shown = nsv("logs", "web")
    assert (shown.status, shown.out) == (1, "web-0 | line 0\nweb-0 | line 2\n")
    assert sorted(shown.err.splitlines()) == [
        f"cannot read {path}.1: not a regular file",
        f"cannot read {path}: a symbolic link is not followed",
    ]


def test_a_file_that_somebody_wrote_into(nsv: Served, logs: dict[str, Path]) -> None:
    broken = [
        '{"t":1e300,"s":"stdout","m":"later than any calendar"}',
        '{"t":2000,"s":"stdout","m":"A","e":"b64"}',
        '{"t":"?"}',
        "\0\xff",
        '{"t":2001,"s":"stdout","m":"cut o',
    ]
    with logs["web-0"].open("ab") as file:
        file.write("\n".join(broken).encode())
    whole = nsv("logs", "-t", "web-0")
    assert whole.status == 0
    assert "1e+300 later than any calendar" in whole.out
    assert nsv("logs", "-a", "web-0", "--grep", "^A$").out == "web-0 | A\n"


def test_more_logs_than_files_may_be_open(tmp_path: Path) -> None:
    for number in range(100):
        for part in ("", ".1"):
            write(tmp_path / "nsvisor" / "logs" / f"web-{number}.log{part}", 1000.0, "line")
    environ = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "supervisor", "logs"]
    for most, status, count, said in (("64:1000", 0, 200, ""), ("64:64", 1, 0, "cannot open so many logs at once")):
        done = subprocess.run(
            ["prlimit", f"--nofile={most}", *command], check=False, env=environ, capture_output=True, text=True
        )
        assert (done.returncode, len(done.stdout.splitlines())) == (status, count), done.stderr
        assert done.stderr.startswith(said)


def test_logs_of_a_worker_that_was_removed(nsv: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(Path(nsv.path).parent.parent))
    write(tmp_path / "nsvisor" / "logs" / "gone.log", 1000.0, "last words")
    monkeypatch.delenv("NSVISOR_SOCKET", raising=False)
    monkeypatch.setattr("supervisor.spec.paths.control_socket", lambda _environ, _uid: nsv.path)
    assert main(["logs", "gone"]) == 0
    assert nsv("logs", "gone").status == 3  # another daemon's files may be anywhere


def test_reader_knows_the_writers_format() -> None:
    for raw in encode_lines(head(1.5, "stderr", 7), b'a "quoted" \\ line\n\xff\xfe\n').splitlines():
        line = Line.read("web", raw)
        assert line.stored is not None
        assert (line.stored.t, line.stored.s, line.stored.i) == (1.5, "stderr", 7)
