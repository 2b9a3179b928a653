"""Landlock: a process takes rights from itself (landlock(7), Documentation/userspace-api/landlock.rst)."""

import ctypes

from supervisor.kernel.libc import raw

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15  # since ABI 2 (Linux 5.19), 3 (6.2), 5 (6.10)
BIND_TCP, CONNECT_TCP = 1, 2  # since ABI 4 (Linux 6.7)
SCOPE_ABSTRACT_UNIX_SOCKET, SCOPE_SIGNAL = 1, 2  # since ABI 6 (Linux 6.12)
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH, RULE_NET_PORT = 1, 2

_Ruleset = ctypes.c_uint64 * 3  # struct landlock_ruleset_attr up to ABI 6; zeros at its end are allowed to any kernel
_Port = ctypes.c_uint64 * 2  # struct landlock_net_port_attr
_create = raw("landlock_create_ruleset", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32)
_add = raw("landlock_add_rule", ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint32)
_restrict = raw("landlock_restrict_self", ctypes.c_int, ctypes.c_uint32)


class _Beneath(ctypes.Structure):
    """struct landlock_path_beneath_attr."""

    _layout_ = "ms"
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def abi() -> int:
    """The kernel's Landlock version. ENOSYS: built without it; EOPNOTSUPP: not enabled at boot (lsm=)."""
    return _create(None, 0, CREATE_RULESET_VERSION)


def create_ruleset(files: int, net: int, scoped: int) -> int:
    """A descriptor of a new ruleset: what is named here is denied unless a rule allows it.

    Errors: EINVAL a right that this ABI does not know; ENOMSG nothing named.
    """
    request = _Ruleset(files, net, scoped)
    return _create(ctypes.byref(request), ctypes.sizeof(request), 0)


def allow_beneath(ruleset: int, path_fd: int, rights: int, *, subject: str | None = None) -> None:
    """Allow rights on a file, or on all below a directory. EINVAL: a right for directories on a file."""
    rule = _Beneath(rights, path_fd)
    _add(ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0, subject=subject)


def allow_port(ruleset: int, port: int, rights: int) -> None:
    """Allow rights on a TCP port; 0 is any port that the kernel picks at bind(2)."""
    rule = _Port(rights, port)
    _add(ruleset, RULE_NET_PORT, ctypes.byref(rule), 0, subject=str(port))


def restrict_self(ruleset: int) -> None:
    """Enforce, for this process and all that it starts, for ever. EPERM: no no_new_privs; E2BIG: 16 layers already."""
    _restrict(ruleset, 0)
