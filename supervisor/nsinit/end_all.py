"""The end of all workers, where no daemon came back for them."""

from __future__ import annotations

import select
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervisor.nsinit.held import Held

LONGEST_WAIT_S = 3600.0  # at a time: poll(2) takes an int of milliseconds, which is 24 days
RETRY_S = 1.0  # for those that do not die at once


def end_all(workers: list[Held]) -> None:
    """Stop all workers by their own stop rules at once: signal, grace, then kill, and reap each."""
    alive = [worker for worker in workers if worker.exit is None]
    begun = time.monotonic()
    for worker in alive:
        worker.signal(worker.stop_signal)
        worker.signal(signal.SIGCONT)  # one that is stopped would not hear it
    while alive:
        now = time.monotonic() - begun
        for worker in alive:
            if now >= worker.grace_s:
                worker.kill()
        waits = [min(worker.grace_s - now, LONGEST_WAIT_S) for worker in alive if worker.grace_s > now]
        poll = select.poll()
        poll.register(alive[0].pidfd, select.POLLIN)  # one of them: poll(2) takes no more than RLIMIT_NOFILE says
        poll.poll(int(min(waits, default=RETRY_S) * 1000) + 1)
        for worker in alive:
            worker.reap()
        alive = [worker for worker in alive if worker.exit is None]
