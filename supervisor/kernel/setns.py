"""setns(2)."""

import ctypes

from supervisor.kernel.libc import checked, libc

libc.setns.argtypes = [ctypes.c_int, ctypes.c_int]


def setns(fd: int, nstype: int) -> None:
    """Join the namespace behind fd. nstype is its CLONE_NEW* flag, or 0 for any.

    Errors: EPERM no capability in its owner; EINVAL wrong kind, own user namespace, or several threads.
    """
    checked(libc.setns(fd, nstype), "setns")
