import os
import subprocess
import sys

import pytest

from supervisor import __version__
from supervisor.cli.group import VERBS, Verb
from supervisor.cli.main import main
from tests.cli.conftest import Served


def test_version_needs_no_click() -> None:
    code = (
        "import sys; from supervisor.cli.main import main; status = main(['--version']);"
        "sys.exit(9 if 'click' in sys.modules else status)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"nsvisor {__version__}\n")


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "supervisor", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout == f"nsvisor {__version__}\n"


def test_help_lists_every_verb_and_loads_none() -> None:
    code = (
        "import sys; from supervisor.cli.main import main; main(['--help']);"
        "print([m for m in sys.modules if m.startswith('supervisor.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    *page, modules = done.stdout.splitlines()
    assert all(any(line.startswith(f"  {verb} ") for line in page) for verb in VERBS)
    assert modules == "['supervisor.cli', 'supervisor.cli.main', 'supervisor.cli.verbs', 'supervisor.cli.group']"


def test_no_words_at_all_ask_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("Usage: nsvisor ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pss",), "cannot run `nsvisor`: no such command: pss (did you mean ps?) (see `nsvisor --help`)"),
        (("ps", "--jsn"), "No such option"),
        (("start",), "cannot run `nsvisor start`: name workers or instances, or give --all"),
        (("start", "web", "--all"), "name workers or instances, or give --all"),
        (("start", "web", "--timeout", "3s"), "--timeout is for --wait"),
        (("kill",), "Missing argument 'NAME...'"),
        (("wait", "--timeout", "soon"), "cannot read 'soon' as a time"),
        (("wait", "--timeout=-3s"), "a time is not negative"),
        (("stats", "--interval", "1ms"), "cannot measure more often"),
        (("events", "--after", "1", "--last", "2"), "give --last or --after"),
        (("logs", "web", "-f", "--until", "1m"), "give it without --follow"),
        (("logs", "web", "--since", "x"), "cannot read 'x' as a time"),
        (("logs", "web", "--since", "1m", "--until", "2m"), "--since 1m is after --until 2m"),
        (("events", "--after", "9" * 20), "may be 999999999999999999 at most"),
        (("shutdown", "--timeout", "1s"), "--timeout is for --wait"),
        (("completion", "tcsh"), "'tcsh' is not one of"),
    ],
)
def test_wrong_usage_is_2_and_begins_with_cannot(nsv: Served, arguments: tuple[str, ...], words: str) -> None:
    outcome = nsv(*arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("cannot run `nsvisor")
    assert words in outcome.err
    assert not nsv.fleet.asked


@pytest.mark.parametrize(
    "arguments",
    [
        ("ps", "wep"),
        ("start", "wep"),
        ("stop", "wep"),
        ("restart", "wep"),
        ("kill", "wep"),
        ("inspect", "wep"),
        ("explain", "wep"),
        ("plan", "wep"),
        ("stats", "wep"),
        ("wait", "wep"),
        ("events", "wep"),
        ("logs", "wep"),
    ],
)
def test_unknown_name_is_3_and_names_the_nearest(nsv: Served, arguments: tuple[str, ...]) -> None:
    outcome = nsv(*arguments)
    assert (outcome.status, outcome.out) == (3, "")
    assert outcome.err == "cannot find 'wep': no worker or instance has that name (did you mean web?)\n"


@pytest.mark.parametrize("verb", ["inspect", "explain", "plan"])
@pytest.mark.parametrize("name", ["", "web/0", "../web"])
def test_what_cannot_be_a_name_is_none(nsv: Served, verb: str, name: str) -> None:
    assert nsv(verb, name) == (3, "", f"cannot find {name!r}: no worker or instance has that name\n")


@pytest.mark.parametrize(
    "arguments",
    [("ps",), ("start", "web"), ("logs", "web"), ("plan", "web"), ("shutdown",), ("events",), ("stats",), ("reload",)],
)
def test_no_daemon_is_4_and_says_how_to_start_it(
    socket_path: str, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--socket", socket_path, *arguments]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"cannot reach the daemon at {socket_path}: is it running? start it with `nsvisor daemon`")


def test_verb_that_is_not_installed_fails_only_when_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(VERBS, "fly", Verb("Fly", "supervisor.cli.fly"))
    assert main(["--help"]) == 0
    assert "  fly " in capsys.readouterr().out
    assert main(["fly"]) == 1
    assert capsys.readouterr().err == "cannot run fly: it is not part of this installation\n"


def test_reader_that_goes_ends_it_quietly(nsv: Served) -> None:
    for number in range(900):
        nsv.fleet.bus.publish("worker.ready", text="x" * 1000, number=number)
    command = (
        f"{sys.executable} -m supervisor --socket {nsv.path} events --no-follow | head -n 1; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "1"


def test_reader_that_never_read_ends_it_quietly(nsv: Served) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "supervisor", "--socket", nsv.path, "ps"]
    done = subprocess.run(command, check=False, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("arguments", [("ps",), ("inspect", "web")])  # a little, and more than is held back
def test_full_disk_is_said_in_a_line(nsv: Served, arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "supervisor", "--socket", nsv.path, *arguments]
        done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "cannot write to standard output: No space left on device\n")


def test_what_the_locale_cannot_write_is_escaped(nsv: Served) -> None:
    command = [sys.executable, "-m", "supervisor", "--socket", nsv.path, "explain", "job"]
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, check=True, env=environ, capture_output=True)
    assert b"\\u258" in done.stdout  # the bars


def test_socket_is_taken_from_the_environment(nsv: Served) -> None:
    environ = {**os.environ, "NSVISOR_SOCKET": nsv.path}
    done = subprocess.run(
        [sys.executable, "-m", "supervisor", "ps", "-q"], check=True, capture_output=True, text=True, env=environ
    )
    assert done.stdout.split() == ["web-0", "web-1", "job"]
