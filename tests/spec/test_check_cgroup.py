"""Limits of a cgroup as they are written."""

import pytest

from supervisor.spec.load import load_text
from supervisor.spec.model import Limits
from tests.spec.problems import ENVIRON, refusal


def table(text: str) -> str:
    return f'[worker.a]\ncommand = ["x"]\nlimits = {{ {text} }}\n'


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ('memory = "64MiB"', "memory_bytes", 64 << 20),
        ('memory = "unlimited"', "memory_bytes", "unlimited"),
        ("memory_swap = 0", "memory_swap_bytes", 0),
        ('cpu = "50%"', "cpu", 0.5),
        ('cpu = "250 %"', "cpu", 2.5),
        ("cpu = 2", "cpu", 2.0),
        ('cpuset = "0-3, 6"', "cpuset", "0-3,6"),
        ("cpuset = 1", "cpuset", "1"),
        ("pids = 2", "pids", 2),
    ],
)
def test_read(text: str, key: str, value: object) -> None:
    limits: Limits = load_text(table(text), "f.toml", ENVIRON).workers["a"].limits
    assert getattr(limits, key) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('memory = "1MiB"', "too little to build the sandbox in"),
        ('memory = "64GIB"', 'did you mean "64GiB"?'),
        ('memory = "64MiB", memory_high = "65MiB"', "more than limits.memory"),
        ("pids = 1", "PID 1 of the sandbox counts, too"),
        ("pids = 0", "out of range"),
        ('cpu = "50"', 'did you mean "50%"?'),
        ('cpu = "0.5%"', "out of range"),
        ("cpu = 0", "out of range"),
        ("cpu = 1e9", "out of range"),
        ('cpuset = "3-1"', "ends before it begins"),
        ('cpuset = "all"', "not a list of CPUs"),
        ("cpuset = -1", "not a list of CPUs"),
        ("cpu_weight = 0", "from 1 to 10000"),
        ("io_weight = 10001", "from 1 to 10000"),
    ],
)
def test_refused(text: str, said: str) -> None:
    (problem,) = refusal(table(text))
    assert said in problem


def test_one_process_is_enough_without_a_pid_1_of_ours() -> None:
    text = table("pids = 1").replace("limits", "init = false\nlimits")
    assert load_text(text, "f.toml", ENVIRON).workers["a"].limits.pids == 1
