"""Time namespaces: by how much their clocks differ from the host's (time_namespaces(7))."""

OFFSETS = "/proc/self/timens_offsets"


def monotonic_offset_ns() -> int:
    """CLOCK_MONOTONIC's offset in the time namespace that this process's children are born in."""
    with open(OFFSETS, "rb") as file:
        for line in file:
            clock, seconds, nanoseconds = line.split()
            if clock == b"monotonic":
                return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return 0
