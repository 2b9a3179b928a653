"""Interfaces, addresses and routes, in a network namespace of the test's own."""

import errno
import subprocess

from supervisor.kernel import clone, interface
from tests.accounts import Account
from tests.kernel.apart import apart, enter
from tests.kernel.test_process import failing


def test_addresses_and_a_route(unprivileged: Account) -> None:
    def inside() -> tuple[object, ...]:
        enter(clone.CLONE_NEWNET)
        subprocess.run(["ip", "link", "add", "d0", "type", "bridge"], check=True)
        before = interface.address_of("d0")
        interface.set_address("d0", "10.7.0.2", "255.255.255.252")
        interface.set_up("d0")
        interface.add_default_route("10.7.0.1")
        with open("/proc/self/net/route") as file:
            routes = [tuple(line.split()[:3]) for line in file][1:]
        return before, interface.address_of("d0"), interface.address_of("none"), sorted(routes), interface.names()

    assert apart(inside, unprivileged) == (
        None,
        ("10.7.0.2", "255.255.255.252"),
        None,
        [("d0", "00000000", "0100070A"), ("d0", "0000070A", "00000000")],
        ["lo", "d0"],
    )


def test_refused(unprivileged: Account) -> None:
    def of_the_host() -> None:
        interface.set_address("lo", "127.0.0.1", "255.0.0.0")

    def nowhere() -> None:
        enter(clone.CLONE_NEWNET)
        interface.add_default_route("10.7.0.1")

    def nothing() -> None:
        enter(clone.CLONE_NEWNET)
        interface.set_up("none")

    assert failing(of_the_host, unprivileged) == (errno.EPERM, "ioctl(SIOCSIFADDR)")
    assert failing(nowhere, unprivileged) == (errno.ENETUNREACH, "ioctl(SIOCADDRT)")
    assert failing(nothing, unprivileged) == (errno.ENODEV, "ioctl(SIOCSIFFLAGS)")
