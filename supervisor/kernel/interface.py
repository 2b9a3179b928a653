"""Network interfaces of the caller's network namespace, their IPv4 addresses and the default route (netdevice(7))."""

import _socket  # the light half of socket: nsinit pays for every import
import fcntl
import struct

from supervisor.kernel.libc import KernelError

SIOCADDRT = 0x890B
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
SIOCGIFADDR, SIOCSIFADDR = 0x8915, 0x8916
SIOCGIFNETMASK, SIOCSIFNETMASK = 0x891B, 0x891C
IFF_UP, IFF_RUNNING = 0x1, 0x40
RTF_UP, RTF_GATEWAY = 0x1, 0x2
ANY = "0.0.0.0"  # noqa: S104  (of a route)


def set_up(name: str) -> None:
    """Set it UP. ENODEV; EPERM without CAP_NET_ADMIN over this network namespace."""
    _ioctl("SIOCSIFFLAGS", SIOCSIFFLAGS, struct.pack("16sh22x", name.encode(), IFF_UP | IFF_RUNNING), name)


def set_address(name: str, address: str, netmask: str) -> None:
    """Give it this address, instead of its first one. ENODEV, EPERM, EINVAL."""
    for word, call, value in (("SIOCSIFADDR", SIOCSIFADDR, address), ("SIOCSIFNETMASK", SIOCSIFNETMASK, netmask)):
        _ioctl(word, call, struct.pack("16s16s8x", name.encode(), _sockaddr(value)), f"{name} {value}")


def add_default_route(gateway: str) -> None:
    """The way to everything else. ENETUNREACH where no interface that is up leads to the gateway; EEXIST, EPERM."""
    addresses = _sockaddr(ANY), _sockaddr(gateway), _sockaddr(ANY)
    # struct rtentry of 64-bit systems: dst, gateway, genmask, flags; nothing of the rest.
    route = struct.pack("8x16s16s16sH62x", *addresses, RTF_UP | RTF_GATEWAY)
    _ioctl("SIOCADDRT", SIOCADDRT, route, gateway)


def address_of(name: str) -> tuple[str, str] | None:
    """Its first address and the netmask; None where it has none, or is not there."""
    found = []
    for word, call in (("SIOCGIFADDR", SIOCGIFADDR), ("SIOCGIFNETMASK", SIOCGIFNETMASK)):
        try:
            answer = _ioctl(word, call, struct.pack("16s24x", name.encode()), name)
        except KernelError:
            return None
        found.append(_socket.inet_ntoa(answer[20:24]))
    return found[0], found[1]


def names() -> list[str]:
    """All there are."""
    return [name for _, name in _socket.if_nameindex()]


def _sockaddr(address: str) -> bytes:
    return struct.pack("HH4s8x", _socket.AF_INET, 0, _socket.inet_aton(address))


def _ioctl(word: str, call: int, argument: bytes, subject: str) -> bytes:
    try:
        probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        try:
            return fcntl.ioctl(probe.fileno(), call, argument)
        finally:
            probe.close()
    except OSError as error:
        raise KernelError(error.errno or 0, f"ioctl({word})", subject) from None
