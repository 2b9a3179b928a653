"""The kernel's BPF machine, as far as seccomp filters use it: for a program and a call, the verdict."""

import struct
from collections.abc import Sequence

from hypothesis import strategies as st


def run(program: bytes, number: int, arch: int, args: Sequence[int] = (0,) * 6) -> int:
    """What the filter returns. AssertionError where the kernel would not take the program."""
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *args)
    instructions = list(struct.iter_unpack("<HBBI", program))
    assert 0 < len(instructions) <= 4096
    accumulator = at = 0
    while True:
        code, true, false, k = instructions[at]
        at += 1
        match code:
            case 0x20:
                assert k % 4 == 0
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x54:
                accumulator &= k
            case 0x05:
                at += k
            case 0x15:
                at += true if accumulator == k else false
            case 0x25:
                at += true if accumulator > k else false
            case 0x35:
                at += true if accumulator >= k else false
            case 0x06:
                return int(k)
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


values = st.one_of(
    st.sampled_from([0, 1, 2, 0xFFFFFFFF, 1 << 32, (1 << 32) + 1, (1 << 64) - 1, 1 << 63]), st.integers(0, 2**64 - 1)
)
