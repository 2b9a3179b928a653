import json
import os

from supervisor.spec.errors import Problem
from tests.cli.conftest import Served


def test_the_new_program_answers(nsv: Served) -> None:
    outcome = nsv("reexec")
    assert outcome == (0, f"re-executed: 1.0 -> 2.0 (pid {os.getpid()}), workers that went on: 3\n", "")
    assert nsv.fleet.asked == [("reexec",)]
    assert json.loads(nsv("reexec", "--json").out) == {
        "from_version": "1.0",
        "version": "2.0",
        "pid": os.getpid(),
        "workers": 3,
    }


def test_why_not(nsv: Served) -> None:
    nsv.fleet.cannot_reexec = "it is under way already"
    assert nsv("reexec") == (1, "", "cannot re-execute: it is under way already\n")
    nsv.fleet.problems = (Problem("f.toml", 3, "worker.web.x", "unknown key"), Problem("f.toml", 4, "", "not TOML"))
    outcome = nsv("reexec")
    assert outcome.status == 1
    assert outcome.err.splitlines()[:2] == ["f.toml:3: worker.web.x: unknown key", "f.toml:4: not TOML"]
