"""The unit is the right text, in the right place, and what somebody else wrote stays."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from supervisor.cli.install_unit import command, program_words, unit_path, write_unit
from supervisor.cli.units import quote, system_unit, user_unit

SYSTEMD = Path(__file__).resolve().parent.parent.parent / "systemd"


@pytest.mark.parametrize(("name", "text"), [("nsvisor", user_unit()), ("nsvisor-system", system_unit())])
def test_the_shipped_units_are_the_generated_ones(name: str, text: str) -> None:
    file = SYSTEMD / f"{name}.service"
    assert file.read_text() == text, "write it anew from supervisor/cli/units.py"


@pytest.mark.parametrize("manager", ["--user", "--system"])
def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path, manager: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    text = user_unit("/bin/true") if manager == "--user" else system_unit("/bin/true")
    file = tmp_path / "nsvisor.service"
    assert _verify(manager, file, text) == ""
    assert "nsvisor.service:" in _verify(manager, file, text.replace("WatchdogSec=", "WatchdogSeconds="))


def _verify(manager: str, file: Path, text: str) -> str:
    """What systemd says of the unit."""
    file.write_text(text)
    words = ["systemd-analyze", "verify", manager, "--man=no", str(file)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    return "\n".join(line for line in done.stderr.splitlines() if file.name in line or "Failed" in line)


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("/usr/bin/nsvisor", "/usr/bin/nsvisor"),
        ("/home/a b/nsvisor", '"/home/a b/nsvisor"'),
        ("/home/100%/$x", "/home/100%%/$$x"),
        ('/a"b\\c', '"/a\\"b\\\\c"'),
    ],
)
def test_quote(word: str, quoted: str) -> None:
    assert quote(word) == quoted


def test_the_program_beside_the_interpreter_is_taken_if_it_is_there(tmp_path: Path) -> None:
    python = str(tmp_path / "python")
    assert program_words(python) == [python, "-m", "supervisor"]
    (tmp_path / "nsvisor").touch(mode=0o755)
    assert program_words(python) == [str(tmp_path / "nsvisor")]


def test_where_the_unit_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert unit_path({}, system=False) == "/home/someone/.config/systemd/user/nsvisor.service"
    assert unit_path({"XDG_CONFIG_HOME": "/c"}, system=False) == "/c/systemd/user/nsvisor.service"
    assert unit_path({"XDG_CONFIG_HOME": "/c"}, system=True) == "/etc/systemd/system/nsvisor.service"


def test_a_unit_of_ours_is_replaced_and_one_of_theirs_is_not(tmp_path: Path) -> None:
    path = tmp_path / "user" / "nsvisor.service"
    assert write_unit(str(path), user_unit("/old"), force=False)
    assert write_unit(str(path), user_unit("/new"), force=False)
    assert not write_unit(str(path), user_unit("/new"), force=False)
    path.write_text("[Service]\n")
    with pytest.raises(FileExistsError):
        write_unit(str(path), user_unit("/new"), force=False)
    assert path.read_text() == "[Service]\n"
    assert write_unit(str(path), user_unit("/new"), force=True)
    assert path.read_text() == user_unit("/new")
    assert [file.name for file in path.parent.iterdir()] == ["nsvisor.service"]


def test_the_command_writes_it_and_says_what_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/opt/py thon/bin/python")
    done = CliRunner().invoke(command, [])
    assert done.exit_code == 0
    text = (tmp_path / "systemd/user/nsvisor.service").read_text()
    assert 'ExecStart="/opt/py thon/bin/python" -m supervisor daemon\n' in text
    assert 'ExecReload="/opt/py thon/bin/python" -m supervisor reload\n' in text
    for words in ("systemctl --user daemon-reload", "systemctl --user enable --now nsvisor", "loginctl enable-linger"):
        assert words in done.output
    assert CliRunner().invoke(command, ["--print"]).output == text


def test_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for written in (True, False):
        done = CliRunner().invoke(command, ["--json"])
        assert json.loads(done.stdout) == {
            "path": unit_path({"XDG_CONFIG_HOME": str(tmp_path)}, system=False),
            "written": written,
        }
    assert json.loads(CliRunner().invoke(command, ["--json", "--print"]).stdout)["unit"].startswith("# Written by")


def test_a_refusal_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "systemd").write_text("in the way")
    done = CliRunner().invoke(command, [])
    assert done.exit_code == 1
    assert "cannot write" in done.output
    assert "Not a directory" in done.output
