"""`nsvisor run`: options that cannot be used are told as they were written, before anything is done."""

from pathlib import Path

import pytest

from supervisor.cli.main import main


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--set", "limits.pids=many"], "--set limits.pids=many: not allowed; allowed:"),
        (["--set", "limits.pits=5"], "--set limits.pits=5: unknown key; allowed:"),
        (["--set", "rootfs.kind=moon"], "--set rootfs.kind=moon: not allowed; allowed:"),
        (["--set", "=5"], "--set =5: KEY=VALUE is what it takes"),
        (["--set", "a b=5"], "--set a b=5: not a key; allowed: such as limits.memory"),
        (["--set", "hostname=x", "--set", "hostname.y=1"], "--set hostname.y=1: set by another option, too"),
        (["--tmpfs", "x"], "--tmpfs x: target: not an absolute path; allowed:"),
        (["--tmpfs", "/x", "--tmpfs", "/x"], "--tmpfs /x: target: the same target as mounts[0]"),
        (["--mount", "type=tmpfs"], "--mount type=tmpfs: target: missing; allowed:"),
        (
            ["--mount", "type=tmpfs,target=/x,moon=1"],
            "--mount type=tmpfs,target=/x,moon=1: moon: unknown key; allowed:",
        ),
        (["--mount", '"type=tmpfs'], '--mount "type=tmpfs: each key once, as KEY=VALUE with commas between them'),
        (["--secret", "id=x"], "--secret id=x: no content; allowed:"),
        (["--publish", "80"], "--publish 80: "),
        (["--uid-map", "0:0"], "--uid-map 0:0: "),
        (["--root", "kind=dir", "--writable"], "--root kind=dir: takes the place of --writable"),
        (["--rootfs", "/", "--root", "kind=tmpfs"], "--root kind=tmpfs: takes the place of --rootfs"),
        (["--keep-id", "--auto-id"], "--auto-id: takes the place of --keep-id"),
        (["--pass-fd", "1"], "--pass-fd 1: the standard streams are passed on anyway; allowed:"),
        (["--pass-fd", "77"], "--pass-fd 77: no such descriptor is open; allowed:"),
        (["--status-fd", "-1"], "--status-fd -1: "),
        (["--time-limit", "long"], "--time-limit long: "),
        (["--time-limit", "0"], "--time-limit 0: no time at all; allowed:"),
        (["--env", "NOT_THERE"], "--env NOT_THERE: no such variable here; NAME=VALUE sets one"),
        (["--worker", "moon"], "cannot find a configuration"),
        (["--bundle", "/nowhere"], "--bundle /nowhere: path: config.json: cannot read: No such file or directory"),
    ],
)
def test_a_mistake_is_told_by_the_option(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("NSVISOR_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["run", *options, "--", "true"]) == 125
    (line,) = capsys.readouterr().err.splitlines()
    assert line.removeprefix("cannot run: ").removeprefix("nsvisor: ").startswith(said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "Missing argument 'COMMAND...'."),
        (["--worker", "w", "--bundle", "b"], "--worker and --bundle exclude each other."),
        (["--moon"], "No such option"),
        (["--pass-fd", "x"], "Invalid value for '--pass-fd'"),
    ],
)
def test_wrong_usage_is_125_too(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *options]) == 125
    assert said in capsys.readouterr().err
