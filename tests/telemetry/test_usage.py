import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from supervisor.telemetry.usage import Sampler, sample

# A parent that burnt CPU itself, one child that lives and one that was waited for.
TREE = """
import os, sys, time
def burn(seconds):
    while time.process_time() < seconds: pass
if (dead := os.fork()) == 0:
    burn(0.3)
    os._exit(0)
os.waitpid(dead, 0)
if os.fork() == 0:
    held = bytearray(30_000_000)
    burn(0.2)
    sys.stdin.read()
    os._exit(0)
burn(0.1)
print("up", flush=True)
sys.stdin.read()
os.wait()
"""


@contextmanager
def tree(program: str = TREE) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


def test_a_tree_is_counted_whole() -> None:
    with tree() as pid:
        deadline = time.monotonic() + 10
        while (usage := sample([pid])[pid]).cpu_s < 0.55 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert usage.processes == 2
        assert 0.55 <= usage.cpu_s < 3
        assert usage.rss_bytes > 30_000_000
        assert usage.cpu_percent is None


def test_two_roots_and_one_that_is_gone() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with tree() as one, tree() as other:
        found = sample([one, other, gone.pid])
        assert set(found) == {one, other}
        assert sample([os.getpid()])[os.getpid()].processes >= 5
    assert sample([]) == {}


def test_percentage_since_the_sample_before() -> None:
    sampler = Sampler()
    busy = "import time; print('up', flush=True)\nend = time.monotonic() + 1.2\nwhile time.monotonic() < end: pass"
    with tree(busy) as pid:
        assert sampler.sample([pid])[pid].cpu_percent is None
        before, began = psutil.Process(pid).cpu_times(), time.monotonic()
        time.sleep(0.6)
        got = sampler.sample([pid])[pid].cpu_percent
        after, took = psutil.Process(pid).cpu_times(), time.monotonic() - began
    used = 100 * (after.user - before.user + after.system - before.system) / took
    assert got is not None
    assert got == pytest.approx(used, abs=15)


def test_sampler_remembers_roots_that_others_did_not_ask_for_and_forgets_the_dead() -> None:
    sampler = Sampler()
    with tree() as one, tree() as other:
        sampler.sample([one, other])
        sampler.sample([other])
        assert sampler.sample([one])[one].cpu_percent is not None
        assert set(sampler._before) == {one, other}
    assert sampler.sample([one, other]) == {}
    assert sampler._before == {}


def test_zombies_and_processes_that_come_and_go() -> None:
    storm = """
import os, sys, threading
print("up", flush=True)
done = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), done.set())).start()
while not done.is_set():
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)
"""
    with tree(storm) as pid:
        sampler = Sampler()
        for _ in range(50):
            assert sampler.sample([pid])[pid].processes >= 1
        os.kill(pid, signal.SIGKILL)
        zombie = sampler.sample([pid])  # not waited for yet: still there, or just being taken down
        assert zombie == {} or zombie[pid].rss_bytes >= 0
