import json
import os
from pathlib import Path

import pytest

from supervisor.cli import doctor
from supervisor.cli.main import main
from supervisor.host.check import Check

GOOD = """
[worker.db]
command = ["/bin/sleep", "60"]

[worker.web]
command = ["/bin/sleep", "60"]
instances = 2
requires = ["db"]
stop = { signal = "SIGKILL" }
"""
BAD = """
[worker.web]
comand = ["/bin/sleep", "60"]
instances = "two"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "nsvisor.toml"


def test_good_configuration(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(GOOD, encoding="utf-8")
    assert main(["--config", str(config), "check"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{config}: 2 workers, 3 instances: no error, 2 warnings\n"
    assert err.splitlines() == [
        "warning: worker.db.ready: others require it, and it counts as ready as soon as it is started",
        "warning: worker.web.stop.signal: SIGKILL leaves it no chance to put things in order",
    ]
    assert main(["--config", str(config), "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["workers"] == ["db", "web"]


def test_what_will_hardly_work_here_is_a_warning(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "data-0").mkdir()
    mounts = 'mounts = [{ type = "bind", source = "data-{index}", target = "/data" }]'
    config.write_text(f'[worker.w]\ncommand = ["true"]\ninstances = 2\n{mounts}\n', encoding="utf-8")
    assert main(["--config", str(config), "check"]) == 0
    said = f'{config}:4: worker.w.mounts[0].source = "{config.parent}/data-1": does not exist'
    assert capsys.readouterr().err == f"warning: {said}\n"
    assert main(["--config", str(config), "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == [said]


def test_all_problems_one_per_line(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(BAD, encoding="utf-8")
    assert main(["--config", str(config), "check"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) >= 2
    assert lines[0].startswith(f"{config}:")
    assert any(f"{config}:3: worker.web.comand" in line and "command" in line for line in lines)
    assert any(f"{config}:4: worker.web.instances" in line for line in lines)
    assert err == f"cannot use the configuration: {len(lines)} problems\n"
    assert main(["--config", str(config), "check", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], len(report["problems"])) == (False, len(lines))


def test_missing_file_is_a_failure_with_its_name(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(config), "check"]) == 1
    assert str(config) in capsys.readouterr().out


def test_plan_without_a_daemon(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(GOOD, encoding="utf-8")
    assert main(["--config", str(config), "plan", "web-1"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("web-1: ")
    assert any(line.split()[1:2] == ["uts.hostname"] and line.endswith("web-1") for line in out)
    assert main(["--config", str(config), "plan", "web"]) == 0
    assert capsys.readouterr().out.count(" phases\n") == 2
    assert main(["--config", str(config), "plan", "wep"]) == 3
    assert "did you mean web?" in capsys.readouterr().err


def test_plan_falls_back_to_the_file(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config.write_text(GOOD, encoding="utf-8")
    monkeypatch.setenv("NSVISOR_CONFIG", str(config))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("NSVISOR_SOCKET", raising=False)
    assert main(["plan", "db"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("db: ")
    assert err == f"no daemon at {tmp_path}/nsvisor/control.sock: this is the plan by the configuration file\n"


def test_doctor_says_what_to_fix(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(GOOD, encoding="utf-8")
    status = main(["--config", str(config), "doctor", "--json"])
    results = json.loads(capsys.readouterr().out)
    assert status == int(any(one["status"] == "fail" for one in results))
    assert main(["--config", str(config), "doctor"]) == status
    assert capsys.readouterr().out.count("\n") >= len(results)


def test_doctor_needs_no_configuration(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NSVISOR_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    if os.path.exists("/etc/nsvisor/nsvisor.toml"):
        pytest.skip("this host has a configuration of its own")
    main(["doctor"])
    assert capsys.readouterr().err.startswith("checking for default settings only: ")


def test_doctors_lines() -> None:
    results = [Check("kernel", "ok", "6.1", "never shown"), Check("subids", "fail", "none", "usermod …")]
    assert doctor.lines(results, colours=False) == [
        "ok    kernel  6.1",
        "fail  subids  none",
        "              fix: usermod …",
    ]
    assert doctor.lines(results, colours=True)[1].startswith("\x1b[31mfail\x1b[0m")
