"""Check of the journal: only where a worker's lines go there."""

import socket
from collections.abc import Iterator

from supervisor.host.check import Check
from supervisor.spec.model import Worker

SOCKET = "/run/systemd/journal/socket"


def check_journal(workers: list[Worker]) -> Iterator[Check]:
    """Whether journald takes entries."""
    users = [worker.name for worker in workers if worker.log.sink == "journald"]
    if not users:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(SOCKET)
        except OSError as error:
            found = f"{SOCKET}: {error.strerror}; what {', '.join(users)} print is lost"
            yield Check("journald", "warn", found, "sudo systemctl start systemd-journald.socket")
        else:
            yield Check("journald", "ok", SOCKET)
