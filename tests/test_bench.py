"""The benchmarks work: questions are asked once, with tiny numbers, of what is installed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.accounts import ROOT

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="the benchmarks' workload is compiled: no gcc")

QUESTIONS = ("launch", "rate", "cli")
ENOUGH_S = 300  # on any machine: nothing is asserted about time


def test_each_question_is_answered_and_drawn(tmp_path: Path) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "picture.svg"
    asked = [word for name in QUESTIONS for word in ("--only", name)]
    words = [sys.executable, str(ROOT / "bench/run.py"), "--scale", "tiny", *asked]
    words += ["--json", str(figures), "--picture", str(picture)]
    done = subprocess.run(
        words, timeout=ENOUGH_S, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    reports = {report["name"]: report for report in json.loads(figures.read_bytes())["reports"]}
    assert set(reports) == {"launch", "rate", "cli"}
    for name in ("launch", "rate"):
        assert {"nsvisor", "C floor"} <= {row["peer"] for row in reports[name]["rows"]}, reports[name]["notes"]
        assert all(row["least"] > 0 for row in reports[name]["rows"])
    assert {row["peer"] for row in reports["cli"]["rows"]} >= {"nsvisor ps", "nsvisor --version"}
    assert picture.read_text().count('class="ours"') >= len(QUESTIONS)


def test_the_floor_tells_its_steps_and_its_failures(tmp_path: Path) -> None:
    floor = tmp_path / "floor"
    source = ROOT / "bench/floor.c"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-static", "-o", floor, source], check=True, timeout=60)
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    shutil.copy(floor, root / "floor")
    steps = [str(floor), "--steps", "1", str(root), "/floor", "--plain", "/", "/nowhere"]
    done = subprocess.run(steps, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, "floor: /nowhere: No such file or directory\n")
    done = subprocess.run([floor, "--plain", "/", "/nowhere"], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (111, "floor: /nowhere: No such file or directory\n")
