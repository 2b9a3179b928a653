"""Combinations that would let one worker into another's sandbox, or onto the host, are refused at load."""

import os
from pathlib import Path

import pytest

from supervisor.spec.errors import ConfigError
from supervisor.spec.load import load_config, load_text

HEAD = '[worker.a]\ncommand = ["true"]\n'


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    return [f"{problem.key}: {problem.message}" for problem in caught.value.problems]


@pytest.mark.parametrize("target", ["worker:a", "pid:1", "path:/proc/1/ns/pid"])
def test_a_pid_namespace_is_joined_with_its_user_namespace(target: str) -> None:
    text = f'{HEAD}[worker.b]\ncommand = ["true"]\nnamespaces = {{ pid = "{target}" }}\n'
    assert problems(text) == ["worker.b.namespaces.pid: joins a pid namespace without its user namespace"]


def test_both_together_are_allowed() -> None:
    fleet = load_text(f'{HEAD}[worker.b]\ncommand = ["true"]\nnamespaces = {{ user = "worker:a", pid = "worker:a" }}\n')
    assert fleet.workers["b"].namespaces.pid == "worker:a"


def test_nobody_joins_a_worker_that_sees_the_host_s_processes() -> None:
    text = f'{HEAD}namespaces = {{ pid = false }}\n[worker.b]\ncommand = ["true"]\nnetwork = {{ mode = "worker:a" }}\n'
    assert problems(text) == [
        "worker.b.network.mode: a has no pid namespace of its own, and could look into the sandbox"
    ]


def test_the_host_s_root_is_not_bound_as_a_whole() -> None:
    text = f'{HEAD}mounts = [{{ type = "bind", source = "/", target = "/host" }}]\n'
    assert problems(text) == ["worker.a.mounts[0].source: the root of the host cannot be bound as a whole"]


def test_a_fifo_does_not_hold_the_daemon_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "nsvisor.toml")
    with pytest.raises(ConfigError, match="FIFO"):
        load_config(str(tmp_path / "nsvisor.toml"))
