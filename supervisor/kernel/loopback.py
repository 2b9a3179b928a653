"""Bring the loopback interface up (netdevice(7), SIOCSIFFLAGS)."""

import _socket  # the light half of socket: nsinit pays for every import
import fcntl
import struct

from supervisor.kernel.libc import KernelError

SIOCSIFFLAGS = 0x8914
IFF_UP, IFF_RUNNING = 0x1, 0x40


def loopback_up() -> None:
    """Set lo UP. EPERM: no CAP_NET_ADMIN over this network namespace (Ubuntu's AppArmor shows here first)."""
    try:
        probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        try:
            fcntl.ioctl(probe.fileno(), SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP | IFF_RUNNING))
        finally:
            probe.close()
    except OSError as error:
        raise KernelError(error.errno or 0, "ioctl(SIOCSIFFLAGS)", "lo") from None
