"""Checks of what bridges need: only where a worker is to be on one."""

from collections.abc import Iterator

from supervisor.host.check import Check, read
from supervisor.host.routes import administers_network
from supervisor.spec.bridges import bridges
from supervisor.spec.model import Worker

FORWARD = "/proc/sys/net/ipv4/ip_forward"


def check_bridge(workers: list[Worker]) -> Iterator[Check]:
    """The right to make devices, and the way on from a bridge."""
    wanted = bridges({worker.name: worker for worker in workers})
    if not wanted:
        return
    names = ", ".join(wanted)
    if administers_network():
        yield Check("bridge", "ok", f"{names}: CAP_NET_ADMIN is there")
    else:
        fix = 'run nsvisor as root, or set network.mode = "pasta", which needs no rights'
        yield Check("bridge", "fail", f"{names}: no CAP_NET_ADMIN over this network namespace", fix)
    if read(FORWARD) != "1":
        found = f"0; whoever is on {names} reaches the host and each other, and nothing beyond"
        yield Check("ip_forward", "warn", found, "sudo sysctl -w net.ipv4.ip_forward=1")
