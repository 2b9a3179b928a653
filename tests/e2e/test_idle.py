"""Nothing happens: the daemon and the keeper sleep."""

import os
import time
from pathlib import Path

from tests.e2e.daemons import running, wait_until
from tests.program import Program

WINDOW_S = 4.0
PATIENCE_S = 80.0  # a thread of the start leaves after 10 s

FLEET = """
[worker.idle]
command = ["sleep", "46021"]
instances = 3

[worker.plain]
command = ["sleep", "46022"]
init = false

[worker.told]
command = ["sh", "-c", "echo one line; exec sleep 46023"]
ready = { kind = "log", pattern = "one line" }
"""


def times_slept(pid: int) -> int:
    """How often the threads of a process have gone to sleep: once for each wake-up."""
    texts = [(thread / "status").read_text() for thread in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("voluntary"))


def test_no_wake_ups(nsvisor: Program) -> None:
    """There is a window without any: what is periodic, be it rare, leaves none of this length."""
    with running(nsvisor, FLEET) as daemon:
        for name in ("idle-0", "idle-1", "idle-2", "plain", "told"):
            daemon.wait_state(name, "ready")
        pids = (daemon.pid, daemon.keeper_pid())

        def slept_through() -> bool:
            before = [(times_slept(pid), len(os.listdir(f"/proc/{pid}/task"))) for pid in pids]
            time.sleep(WINDOW_S)  # a window is what is measured
            after = [(times_slept(pid), len(os.listdir(f"/proc/{pid}/task"))) for pid in pids]
            return after == before

        wait_until(slept_through, f"{WINDOW_S} s without a wake-up of daemon and keeper", PATIENCE_S)
