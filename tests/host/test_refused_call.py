"""The call that a filter killed for, from the kernel's log."""

import pytest

from supervisor.host.refused_call import refused_call
from supervisor.kernel.libc import KernelError

NOW = 1795341799.0
NATIVE, OF_32_BITS = "c000003e", "40000003"


def line(at: float, number: int, uid: int = 1001, arch: str = NATIVE, sig: int = 31) -> str:
    return (
        f"<5>[ 2402.393950] audit: type=1326 audit({at:.3f}:2): auid=4294967295 uid={uid} gid=0 ses=4294967295 "
        f'pid=25270 comm="mkdir" exe="/usr/bin/mkdir" sig={sig} arch={arch} syscall={number} compat=0 '
        "ip=0x7f4b97d27f37 code=0x80000000\n"
    )


OTHER = "<6>[    1.443182] EXT4-fs (vda): mounted\n"
RECENT = NOW - 0.2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (OTHER + line(RECENT, 83) + OTHER, "mkdir"),
        (line(RECENT, 83) * 3, "mkdir"),  # a program of many processes
        (line(RECENT, 83) + line(RECENT, 165), ""),  # who knows which was ours
        (line(NOW - 60, 165) + line(RECENT, 83), "mkdir"),
        (line(NOW + 1, 83), ""),
        (line(RECENT, 83, uid=0), ""),
        (line(RECENT, 83, uid=100_005), "mkdir"),
        (line(RECENT, 83, sig=11), ""),
        (line(RECENT, 39, arch=OF_32_BITS), "mkdir (of 32 bits)"),
        (line(RECENT, 5000), "number 5000"),
    ],
)
def test_records(text: str, expected: str) -> None:
    assert refused_call(NOW, [(1001, 1), (100_000, 10)], lambda _: text.encode()) == expected


def test_a_log_that_is_closed() -> None:
    def read(_size: int) -> bytes:
        raise KernelError(1, "syslog")

    assert refused_call(NOW, [(0, 1)], read) == ""
