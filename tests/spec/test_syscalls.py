"""The tables of system calls against those of others."""

import ctypes
import ctypes.util
import re
from pathlib import Path

import pytest

from supervisor.spec.syscalls import KNOWN, NUMBERS, name_of

HEADERS = {"SCMP_ARCH_X86_64": "unistd_64.h", "SCMP_ARCH_X86": "unistd_32.h"}
TOKENS = {"SCMP_ARCH_X86_64": 0xC000003E, "SCMP_ARCH_AARCH64": 0xC00000B7, "SCMP_ARCH_X86": 0x40000003}


@pytest.mark.parametrize("arch", HEADERS)
def test_the_kernels_headers(arch: str) -> None:
    file = Path("/usr/include/x86_64-linux-gnu/asm") / HEADERS[arch]
    if not file.exists():
        pytest.skip("needs linux-libc-dev of x86_64")
    for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)", file.read_text()):
        assert NUMBERS[arch][name] == int(number)


@pytest.mark.parametrize("arch", NUMBERS)
def test_libseccomp_agrees(arch: str) -> None:
    """As far as it knows the calls; those of other architectures have negative numbers in it."""
    library = ctypes.util.find_library("seccomp")
    if library is None:
        pytest.skip("needs libseccomp2")
    resolve = ctypes.CDLL(library).seccomp_syscall_resolve_name_arch
    known = {name: resolve(TOKENS[arch], name.encode()) for name in NUMBERS[arch]}
    assert {name: number for name, number in known.items() if 0 <= number != NUMBERS[arch][name]} == {}
    assert sum(number >= 0 for number in known.values()) > 300


def test_names_and_numbers() -> None:
    for arch, table in NUMBERS.items():
        assert len(set(table.values())) == len(table)
        assert all(name_of(arch, number) == name for name, number in table.items())
    assert name_of("SCMP_ARCH_X86_64", 100_000) is None
    assert name_of("SCMP_ARCH_MIPS", 1) is None
    assert {"cacheflush", "socketcall", "open"} <= KNOWN
