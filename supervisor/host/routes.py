"""The IPv4 networks that this host has routes to, and whether the caller may change them."""

import os
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

from supervisor.host.check import read
from supervisor.kernel.namespaces import owner

CAP_NET_ADMIN = 12
DEFAULT = IPv4Network("0.0.0.0/0")


def routes() -> Iterator[tuple[str, IPv4Network]]:
    """Interface and network, but for default routes (proc_net(5))."""
    for line in (read("/proc/self/net/route") or "").splitlines()[1:]:
        interface, destination, _, _, _, _, _, mask, *_ = line.split()
        network = IPv4Network((_address(destination), _address(mask)))
        if network != DEFAULT:
            yield interface, network


def _address(word: str) -> str:
    """In /proc it is a number in the machine's byte order."""
    return str(IPv4Address(struct.pack("=I", int(word, 16))))


def administers_network() -> bool:
    """Whether the caller has CAP_NET_ADMIN over the network namespace where it lives, not over one of its own only."""
    for line in (read("/proc/self/status") or "").splitlines():
        if line.startswith("CapEff:") and not int(line.split()[1], 16) >> CAP_NET_ADMIN & 1:
            return False
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.close(owner(namespace))
    except OSError:  # it belongs to a user namespace around ours
        return False
    finally:
        os.close(namespace)
    return True
