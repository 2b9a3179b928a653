"""How a workload ended is told exactly, through PID 1 and without it."""

import signal
from pathlib import Path

import pytest

from supervisor.spec.model import Limits
from tests.nsinit.keepers import Keeper
from tests.nsinit.sandboxes import launched, run, worker

INIT = pytest.mark.parametrize("init", [True, False], ids=["init", "no-init"])
CORE_FLAG = 0x80
PYTHON = "/usr/bin/python3"
BURN_US = 150_000
BURN = "while time.process_time() < 0.15: pass"


def killing_itself(number: int) -> str:
    """A workload that is not PID 1, which the kernel would protect from itself."""
    return f"kill -{int(number)} $$"


@INIT
@pytest.mark.parametrize("code", [0, 1, 125, 128, 137, 255])
def test_exit_code(keeper: Keeper, init: bool, code: int) -> None:
    assert run(keeper, worker(f"exit {code}", init=init)).status == code << 8


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP", "SIGPIPE", "SIGSYS", "SIGRTMAX"])
def test_signal(keeper: Keeper, name: str) -> None:
    number = signal.Signals[name]
    assert run(keeper, worker(killing_itself(number))).status & ~CORE_FLAG == number


def test_killed_and_exit_137_are_not_the_same(keeper: Keeper) -> None:
    assert run(keeper, worker(killing_itself(9))).status == 9
    assert run(keeper, worker("exit 137")).status == 137 << 8


def test_core_dumped(keeper: Keeper) -> None:
    limits = Limits(core="unlimited")
    crash = worker(killing_itself(signal.SIGSEGV), working_dir="/tmp", limits=limits)
    status = run(keeper, crash).status
    piped = Path("/proc/sys/kernel/core_pattern").read_text().startswith("|")  # then it is the handler's to say
    assert status & ~CORE_FLAG == signal.SIGSEGV
    assert status & CORE_FLAG or piped
    without = worker(killing_itself(signal.SIGSEGV), limits=Limits(core=0))
    assert run(keeper, without).status & ~CORE_FLAG == signal.SIGSEGV


def test_killed_from_outside_without_an_init(keeper: Keeper) -> None:
    with launched(keeper, worker("echo up; exec sleep 60", init=False)) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert sandbox.line() == "up"
        sandbox.signal(signal.SIGKILL)
        assert sandbox.wait()[0] == signal.SIGKILL


def test_pid_1_killed_from_outside(keeper: Keeper) -> None:
    with launched(keeper, worker("echo up; exec sleep 60")) as sandbox:
        sandbox.go()
        sandbox.until_end()
        assert sandbox.line() == "up"
        sandbox.signal(signal.SIGKILL)
        assert sandbox.wait()[0] == signal.SIGKILL
        assert sandbox.output() == ""  # the workload is gone, and its end of the pipe


@INIT
def test_resources_used(keeper: Keeper, init: bool) -> None:
    busy = f"import time\nblock = bytearray(b'x') * (48 << 20)\n{BURN}"
    idle = run(keeper, worker("exit 0", init=init)).exit
    used = run(keeper, worker([PYTHON, "-I", "-c", busy], init=init)).exit
    assert idle[1] + idle[2] < BURN_US <= used[1] + used[2]
    assert used[3] > 48 << 10  # KiB


def test_what_the_workload_waited_for_counts(keeper: Keeper) -> None:
    used = run(keeper, worker(f"{PYTHON} -I -c 'import time\n{BURN}'; exit 0")).exit
    assert used[1] + used[2] >= BURN_US
