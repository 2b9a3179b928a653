"""The census, the rule about skips and the ordinary user are themselves tested: they judge all other tests."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests import census
from tests.accounts import Account, program_folder
from tests.census import children, leftover
from tests.cgroups import own_place

ROOT = Path(__file__).resolve().parent.parent


def test_census_sees_an_orphan_and_reaps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "PATIENCE_S", 0.2)
    before = children()
    script = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(3)\n"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert any("time.sleep(3)" in line for line in leftover(before))
    monkeypatch.setattr(census, "PATIENCE_S", 30.0)
    assert leftover(before) == []


def test_census_waits_for_what_is_about_to_leave() -> None:
    before = children()
    process = subprocess.Popen(["sleep", "0.2"])
    start = time.monotonic()
    assert leftover(before) == []
    assert time.monotonic() - start >= 0.1
    process.wait()


def test_census_sees_what_stays_and_what_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "PATIENCE_S", 0.1)
    before = census.belongings()
    reader, writer = os.pipe()
    assert len(census.left_behind(before)) == 2
    os.close(reader)
    (left,) = census.left_behind(before)
    assert left.startswith(f"descriptor {writer} pipe:")
    os.close(writer)
    assert census.left_behind(before) == []


def test_census_sees_an_abandoned_cgroup() -> None:
    place = own_place()
    if place is None or not os.access(place, os.W_OK):
        pytest.skip("needs a cgroup that can be written to")
    before = census.abandoned_cgroups()
    tree = place / "nsvisor-999999999"  # beyond any pid
    tree.mkdir()
    try:
        assert census.abandoned_cgroups() == before  # nobody in it
        with subprocess.Popen(["sleep", "60"]) as inside:
            (tree / "cgroup.procs").write_text(str(inside.pid))
            assert census.abandoned_cgroups() - before == {str(tree)}
            inside.kill()
    finally:
        tree.rmdir()


def test_census_leaves_the_cgroups_of_others_alone() -> None:
    place = own_place()
    if place is None or not os.access(place, os.W_OK):
        pytest.skip("needs a cgroup that can be written to")
    tree = place / "nsvisor-999999998"
    tree.mkdir()
    try:
        with subprocess.Popen(["sleep", "60"]) as inside:
            (tree / "cgroup.procs").write_text(str(inside.pid))
            look = f"from tests import census; print({str(tree)!r} in census.abandoned_cgroups())"
            told = subprocess.run([sys.executable, "-c", look], cwd=ROOT, check=True, capture_output=True, text=True)
            assert told.stdout == "False\n"  # it is not that run's
            assert str(tree) in census.abandoned_cgroups()
            inside.kill()
    finally:
        tree.rmdir()


def test_census_tells_mounts_of_this_run_from_those_of_others(tmp_path: Path) -> None:
    folder = tempfile.mkdtemp(prefix="nsvisor-census-")
    os.rmdir(folder)
    points = {f"{folder}/a", str(tmp_path), "/mnt"}
    assert census.of_this_run({*points, f"{tempfile.gettempdir()}/others/a"}) == points


@pytest.mark.parametrize(("ci", "closing"), [("true", "1 failed"), ("", "1 skipped")])
def test_in_ci_a_skip_that_is_not_listed_is_a_failure(tmp_path: Path, ci: str, closing: str) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_runtest_makereport\n")
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_it():\n    pytest.skip('no wish to')\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert closing in done.stdout.splitlines()[-1]
    assert "no wish to" in done.stdout


def test_the_ordinary_user_can_run_the_program(unprivileged: Account, program_bin: Path) -> None:
    done = subprocess.run(
        [program_bin / "nsvisor", "--version"],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": "/usr/bin:/bin"},
        **unprivileged.identity(),  # type: ignore[call-overload]
    )
    assert done.stdout.startswith("nsvisor "), done.stderr


def test_the_ordinary_user_is_nobody_special(unprivileged: Account) -> None:
    assert unprivileged.uid != 0
    for file in ("/etc/subuid", "/etc/subgid"):
        if os.geteuid() == 0:
            assert any(line.startswith(f"{unprivileged.name}:") for line in Path(file).read_text().splitlines())


def test_a_copy_is_made_where_the_user_cannot_reach_the_environment(
    unprivileged: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: the user of the tests reaches their own environment")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "python").symlink_to(sys.executable)
    monkeypatch.setattr("tests.accounts.interpreter", lambda: closed / "python")
    folder, copy = program_folder(unprivileged)
    assert copy is not None
    try:
        done = subprocess.run(
            [folder / "python", "-I", "-c", "import supervisor, trio; print(supervisor.__file__)"],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            **unprivileged.identity(),  # type: ignore[call-overload]
        )
        assert done.stdout.startswith(str(copy)), done.stderr
        assert (folder / "nsvisor").exists()
    finally:
        subprocess.run(["rm", "-rf", copy], check=True)
