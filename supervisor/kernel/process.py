"""prctl(2), capset(2), keyctl(2), close_range(2): what a process may say about itself."""

import ctypes

from supervisor.kernel.libc import checked, libc, raw

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 2, 4
KEYCTL_JOIN_SESSION_KEYRING = 1
CLOSE_RANGE_CLOEXEC = 4
SIG_SETMASK = 2
_CAPABILITY_VERSION_3 = 0x20080522

# All five arguments are passed always: prctl reads them, and refuses some operations with garbage in the last ones.
libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
libc.capset.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
_CapabilityHeader, _CapabilityData = ctypes.c_uint32 * 2, ctypes.c_uint32 * 6
_NO_SIGNALS = ctypes.c_uint64(0)
_long, _pointer = ctypes.c_long, ctypes.c_void_p
_rt_sigprocmask = raw("rt_sigprocmask", ctypes.c_int, _pointer, _pointer, ctypes.c_size_t)
_keyctl = raw("keyctl", ctypes.c_int, _pointer, _long, _long, _long)
_close_range = raw("close_range", ctypes.c_uint, ctypes.c_uint, ctypes.c_uint)


def prctl(operation: int, argument: int = 0, second: int = 0) -> None:
    """Operate on this process, with numbers as arguments (prctl(2))."""
    checked(libc.prctl(operation, argument, second, 0, 0), "prctl")


def drop_bounding(keep: int, last: int) -> None:
    """Drop every capability up to `last` that the mask does not keep from the bounding set (PR_CAPBSET_DROP)."""
    call = libc.prctl  # forty calls in each launch: no wrapper
    for capability in range(last + 1):
        if not keep >> capability & 1 and call(PR_CAPBSET_DROP, capability, 0, 0, 0) == -1:
            checked(-1, "prctl")


def set_name(name: str) -> None:
    """Set the thread's name as ps shows it (15 bytes)."""
    buffer = ctypes.create_string_buffer(name.encode()[:15], 16)
    checked(libc.prctl(PR_SET_NAME, ctypes.addressof(buffer), 0, 0, 0), "prctl")


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set this process's capability sets, as bit masks. EPERM: more than permitted."""
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    low = 0xFFFFFFFF
    sets = (effective, permitted, inheritable)
    data = _CapabilityData(*(mask & low for mask in sets), *(mask >> 32 for mask in sets))
    checked(libc.capset(ctypes.byref(header), ctypes.byref(data)), "capset")


def unblock_signals() -> None:
    """Empty the signal mask (rt_sigprocmask(2)); cheaper than by the signal module, which makes a set of enums."""
    _rt_sigprocmask(SIG_SETMASK, ctypes.byref(_NO_SIGNALS), None, 8)


def join_anonymous_keyring() -> None:
    """Leave the caller's session keyring for a new one. ENOSYS, EDQUOT, EPERM under a container's seccomp."""
    _keyctl(KEYCTL_JOIN_SESSION_KEYRING, None, 0, 0, 0)


def close_range(first: int, last: int, flags: int = 0) -> None:
    """Close descriptors first to last, or mark them close-on-exec (close_range(2), Linux 5.9; the flag 5.11)."""
    _close_range(first, last, flags)
