"""net.attach: the daemon connects the new network namespace, this process sees it come up."""

import contextlib
import errno
import os
import time

from supervisor.kernel import files
from supervisor.kernel.interface import add_default_route, set_address, set_up
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.box import Box

INTERVAL_S = 0.01
RTF_UP, RTF_REJECT = 0x1, 0x200
IFA_F_TENTATIVE = 0x40
SCOPE_GLOBAL = "00"
LOW_PORTS = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
ANY4, ANY6 = "00000000", "0" * 32


def attach(box: Box, mode: str, timeout_s: str, *inside: str) -> str:
    """Ask for it, then wait for a default route over an interface that has an address: "eth0". ETIMEDOUT.

    inside: what is left to this process to set: interface, address, netmask, gateway.
    """
    deadline = time.monotonic() + float(timeout_s)  # a time namespace shifts both alike
    namespace = files.open_file("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        box.channel.need("network", mode, fd=namespace)
    finally:
        os.close(namespace)
    with contextlib.suppress(KernelError):  # a /proc/sys that is read-only already
        files.write_attribute(LOW_PORTS, "0")  # as docker: every port in here is the worker's
    if inside:
        _configure(*inside)
    while True:
        found = routed4() or routed6()
        if found:
            return found
        if time.monotonic() >= deadline:
            text = f"no interface has an address and a default route after {float(timeout_s):g} s"
            raise KernelError(errno.ETIMEDOUT, "", None, text)
        time.sleep(INTERVAL_S)


def _configure(name: str, address: str, netmask: str, gateway: str) -> None:
    set_address(name, address, netmask)
    set_up(name)
    add_default_route(gateway)


def routed4() -> str:
    """The interface of the IPv4 default route; "" where there is none (proc_net(5)). A route needs an address there."""
    for interface, destination, _, flags, *_, mask, _, _, _ in _rows("/proc/self/net/route")[1:]:
        if (destination, mask) == (ANY4, ANY4) and int(flags, 16) & (RTF_UP | RTF_REJECT) == RTF_UP:
            return interface
    return ""


def routed6() -> str:
    """The interface of the IPv6 default route that has a global address, proven to be free."""
    addressed = {
        name
        for _, _, _, scope, flags, name in _rows("/proc/self/net/if_inet6")
        if scope == SCOPE_GLOBAL and not int(flags, 16) & IFA_F_TENTATIVE
    }
    for destination, prefix, *_, flags, interface in _rows("/proc/self/net/ipv6_route"):
        if (destination, prefix) == (ANY6, "00") and not int(flags, 16) & RTF_REJECT and interface in addressed:
            return interface
    return ""


def _rows(path: str) -> list[list[str]]:
    try:
        with open(path, encoding="ascii") as file:
            return [line.split() for line in file]
    except OSError:  # a kernel without IPv6
        return []
