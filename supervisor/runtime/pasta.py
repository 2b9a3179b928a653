"""pasta(1): what it needs of this host, checked before it is started, and its words made errors."""

import errno
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from supervisor.kernel.namespaces import owner
from supervisor.sandbox.pasta import pasta_arguments
from supervisor.spec.address_forms import Published
from supervisor.spec.model import Network

NAME = "pasta"
TUN = "/dev/net/tun"
# It tells a system logger as well, and complains where there is none.
_NOISE = re.compile(r"Failed to send \d+ bytes to syslog|")
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def command(network: Network, ports: Iterable[Published], *, dns_forward: bool) -> list[str]:
    """The command, its path first. OSError for what would keep it from working: no pasta, no tun, a port taken."""
    path = shutil.which(NAME)
    if path is None:
        raise FileNotFoundError(errno.ENOENT, f"{NAME} is not installed")
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise OSError(error.errno or errno.ENODEV, f"{TUN}: {error.strerror}") from None
    check_free(ports)
    local = not has_default_route()
    arguments = pasta_arguments(network, ports, uid=os.geteuid(), local=local, dns_forward=dns_forward)
    return [path, *arguments]


def check_free(ports: Iterable[Published]) -> None:
    """Bind each for a moment. OSError with the address: EADDRINUSE, EADDRNOTAVAIL, EACCES below 1024."""
    for port in ports:
        family = socket.AF_INET6 if ":" in port.address else socket.AF_INET
        with socket.socket(family, _KINDS[port.protocol] | socket.SOCK_CLOEXEC) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if port.protocol == "tcp":  # connections of the last one that linger are none of ours
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((port.address, port.port))
            except OSError as error:
                number = error.errno or errno.EADDRINUSE
                raise OSError(number, f"{port.where}/{port.protocol}: {os.strerror(number)}") from None


def has_default_route() -> bool:
    """Whether this network namespace has one of IPv4 or IPv6 (proc_net(5))."""
    routes4, routes6 = _rows("/proc/self/net/route")[1:], _rows("/proc/self/net/ipv6_route")
    return any(row[1] == row[7] == "0" * 8 for row in routes4) or any(
        (row[0], row[1]) == ("0" * 32, "00") and row[9] != "lo" for row in routes6
    )


def _rows(path: str) -> list[list[str]]:
    try:
        with open(path, encoding="ascii") as file:
            return [line.split() for line in file]
    except OSError:  # a kernel without IPv6
        return []


@contextmanager
def namespaces(network: int) -> Iterator[tuple[int, int]]:
    """The network namespace and the user namespace that owns it, as descriptors. OSError."""
    user = owner(network)
    try:
        yield network, user
    finally:
        os.close(user)


def is_noise(line: str) -> bool:
    """Whether a line of its log says nothing."""
    return _NOISE.fullmatch(line.strip()) is not None


def failure(last_line: str, ports: Iterable[Published]) -> OSError:
    """Why it did not come up, by what it said last."""
    words = f"{NAME} gave up: {last_line or 'it said nothing'}"
    if "Failed to bind" not in last_line:
        return OSError(errno.EIO, words)
    try:
        check_free(ports)
    except OSError as error:  # since we looked
        return error
    versions = " and ".join(sorted({"IPv6" if ":" in port.address else "IPv4" for port in ports}))
    text = f"{words}; the ports are free, but it uses {versions} only with an address and a default route of the host's"
    return OSError(errno.EAFNOSUPPORT, text)
