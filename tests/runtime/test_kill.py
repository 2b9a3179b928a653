import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from supervisor.runtime.child import Child
from supervisor.runtime.keeper_link import KeeperLink
from supervisor.runtime.kill import kill_tree, owns_pid_namespace
from tests.runtime.fleets import IDLE, descriptors, fleet

TREE = """
import os, sys, time
for depth in range(3):
    for child in range(2):
        if os.fork() == 0:
            os.setsid()
            break
    else:
        break
if len(sys.argv) > 1:
    while os.fork():
        time.sleep(0.02)
    time.sleep(0.3)
else:
    time.sleep(1000)
"""


@pytest.mark.parametrize("arguments", [[], ["and go on"]], ids=["quiet", "forking"])
def test_a_tree_in_sessions_of_its_own_is_ended_as_a_whole(arguments: list[str]) -> None:
    before = descriptors()
    with subprocess.Popen([sys.executable, "-c", TREE, *arguments]) as process:
        first = psutil.Process(process.pid)
        deadline = time.monotonic() + 10
        while len(first.children(recursive=True)) < 6:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        below = first.children(recursive=True)
        child = Child("a#1", process.pid, os.pidfd_open(process.pid), KeeperLink.__new__(KeeperLink))
        kill_tree(child, own_pid_namespace=False)
        assert process.wait(5) == -signal.SIGKILL
        alive = psutil.wait_procs(below, timeout=3)[1]
        assert [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
        kill_tree(child, own_pid_namespace=False)  # harmless when repeated
        child.close()
    assert descriptors() == before


async def test_whose_first_process_takes_all_along_is_seen_without_its_configuration(tmp_path: Path) -> None:
    text = f"[worker.own]\n{IDLE}[worker.shared]\n{IDLE}namespaces = {{ pid = false }}\n"
    async with fleet(tmp_path, text) as running:
        found = {}
        for name in ("own", "shared"):
            incarnation = (await running.wait_state(name, "ready")).incarnation
            assert incarnation is not None
            child = incarnation.child
            assert child is not None
            found[name] = owns_pid_namespace(child)
        assert found == {"own": True, "shared": False}
