"""What nsinit makes of kernels whose Landlock is older."""

import errno

import pytest

from supervisor.kernel import landlock as kernel
from supervisor.kernel.libc import KernelError
from supervisor.nsinit.operations import locks
from supervisor.nsinit.operations.locks import READ, WRITE, handled


def test_what_each_version_can_deny() -> None:
    every = {"read", "write", "connect_tcp", "signals", "abstract_sockets"}
    newest: tuple[int, int, int, list[str]] = (READ | WRITE, kernel.CONNECT_TCP, 3, [])
    assert handled(7, every) == handled(6, every) == newest
    assert handled(5, every) == (READ | WRITE, kernel.CONNECT_TCP, 0, ["abstract sockets", "signals"])
    old = READ | WRITE & ~(kernel.REFER | kernel.TRUNCATE | kernel.IOCTL_DEV)
    lacking = ["truncating files", "device ioctls", "TCP ports", "abstract sockets", "signals"]
    assert handled(1, every) == (old, 0, 0, lacking)
    assert handled(1, {"read"}) == (READ, 0, 0, [])
    assert handled(7, {"read"}) == (READ | kernel.REFER, 0, 0, [])


@pytest.mark.parametrize(("required", "kind"), [("1", "write"), ("0", "signals")])
def test_an_old_kernel_refuses(monkeypatch: pytest.MonkeyPatch, required: str, kind: str) -> None:
    """What is required, and a lock of which nothing would be left; nothing is locked then."""
    monkeypatch.setattr(kernel, "abi", lambda: 1)
    with pytest.raises(KernelError, match="ABI 1") as caught:
        locks.landlock(None, required, "", kind, "")  # type: ignore[arg-type]
    assert caught.value.errno == errno.EOPNOTSUPP
