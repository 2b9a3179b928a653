"""unshare(2), sethostname(2), setdomainname(2) and the ioctl that names a namespace's owner."""

import ctypes
import fcntl

from supervisor.kernel.libc import KernelError, checked, libc

NS_GET_USERNS = 0xB701
libc.unshare.argtypes = [ctypes.c_int]
libc.sethostname.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
libc.setdomainname.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


def unshare(flags: int) -> None:
    """Leave shared namespaces for new ones. ENOSPC: that kind's user.max_*_namespaces; EPERM: no CAP_SYS_ADMIN."""
    checked(libc.unshare(flags), "unshare")


def sethostname(name: str) -> None:
    """Set the UTS namespace's host name. EINVAL over 64 bytes; EPERM in a namespace not owned."""
    value = name.encode()
    checked(libc.sethostname(value, len(value)), "sethostname", name)


def setdomainname(name: str) -> None:
    """Set the UTS namespace's NIS domain name. EINVAL over 64 bytes."""
    value = name.encode()
    checked(libc.setdomainname(value, len(value)), "setdomainname", name)


def owner(namespace_fd: int) -> int:
    """A descriptor of the user namespace that owns a namespace. EPERM where it lies outside our own."""
    try:
        return fcntl.ioctl(namespace_fd, NS_GET_USERNS)
    except OSError as error:
        raise KernelError(error.errno or 0, "ioctl(NS_GET_USERNS)") from None
