"""Limits as people write them: one value or SOFT:HARD, CPU lists, scheduling policies, I/O priorities.

Each function takes what was written and returns its one normal form, or raises FormError.
"""

import re
from collections.abc import Callable

from supervisor.spec.forms import FormError, nearest, quoted
from supervisor.spec.units import UnitError, parse_duration, parse_size

LARGEST = 2**63 - 1
LARGEST_CPU = 8191  # CONFIG_NR_CPUS of the largest kernels
UNLIMITED = "unlimited"
POLICIES = ("other", "batch", "idle", "fifo", "rr")
REAL_TIME = ("fifo", "rr")
IO_CLASSES = ("realtime", "best-effort", "idle")
_RANGE = re.compile(r"\s*([0-9]{1,5})(?:\s*-\s*([0-9]{1,5}))?\s*")


def count_limit(value: int | str) -> int | str:
    """A number, "unlimited", or two of them as "SOFT:HARD"."""
    return _pair(value, _number)


def size_limit(value: int | str) -> int | str:
    """As count_limit, in bytes or with a unit: "64KiB:unlimited"."""
    return _pair(value, parse_size)


def time_limit(value: int | str) -> int | str:
    """As count_limit, in whole seconds: "10s:1m"."""
    return _pair(value, _whole(parse_duration, "seconds"))


def microsecond_limit(value: int | str) -> int | str:
    """As count_limit, in microseconds of a number or a duration: "950ms"."""
    return _pair(value, _whole(lambda text: parse_duration(text) * 1e6, "microseconds"))


def _pair(value: int | str, parse: Callable[[str], int]) -> int | str:
    if isinstance(value, int):
        return _in_range(value)
    parts = [_one(part.strip(), parse) for part in value.split(":")]
    if len(parts) == 1:
        return parts[0]
    if len(parts) > 2:
        raise FormError("more than two values", 'one value, or "SOFT:HARD"')
    soft, hard = parts
    if hard != UNLIMITED and (soft == UNLIMITED or int(soft) > int(hard)):
        raise FormError("the soft limit is over the hard one", 'one value, or "SOFT:HARD"')
    return f"{soft}:{hard}"


def _one(text: str, parse: Callable[[str], int]) -> int | str:
    if text == UNLIMITED:
        return text
    try:
        return _in_range(parse(text))
    except UnitError as error:
        raise FormError(str(error), nearest=quoted(nearest(text, [UNLIMITED])) or error.nearest) from None
    except OverflowError:
        raise FormError("out of range") from None


def _in_range(number: int) -> int:
    if not 0 <= number <= LARGEST:
        raise FormError("out of range")
    return number


def _number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,30}", text):
        raise UnitError("not a number")
    return int(text)


def _whole(parse: Callable[[str], float], unit: str) -> Callable[[str], int]:
    def convert(text: str) -> int:
        number = parse(text)
        if not float(number).is_integer():
            raise UnitError(f"not a whole number of {unit}")
        return int(number)

    return convert


def cpu_list(value: str | tuple[int, ...]) -> str:
    """Processors as the kernel lists them: "0-3,5" for "5, 0-3" and for [0, 1, 2, 3, 5]."""
    allowed = 'numbers of processors, as [0, 1] or "0-3,5"'
    cpus: set[int] = set()
    words = value.split(",") if isinstance(value, str) else [str(number) for number in value]
    for word in words:
        match = _RANGE.fullmatch(word)
        if match is None:
            raise FormError("not a list of processors", allowed)
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last or last > LARGEST_CPU:
            raise FormError(f"{word.strip()} is out of range", allowed)
        cpus.update(range(first, last + 1))
    if not cpus:
        raise FormError("no processor", allowed)
    return format_cpus(cpus)


def parse_cpus(text: str) -> set[int]:
    """The numbers in a list of the kernel's; none in an empty one."""
    cpus: set[int] = set()
    for word in text.strip().split(","):
        if word:
            first, _, last = word.partition("-")
            cpus.update(range(int(first), int(last or first) + 1))
    return cpus


def format_cpus(cpus: set[int]) -> str:
    """The shortest list: {0, 1, 2, 5} is "0-2,5"."""
    ranges: list[list[int]] = []
    for cpu in sorted(cpus):
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(f"{first}-{last}" if last > first else f"{first}" for first, last in ranges)


def scheduling(text: str) -> str:
    """A policy of sched(7): "batch", "fifo:10"; the real-time ones with a priority."""
    allowed = '"other", "batch", "idle", "fifo:1" to "fifo:99", "rr:1" to "rr:99"'
    policy, colon, priority = text.strip().lower().partition(":")
    if policy not in POLICIES:
        raise FormError("not a scheduling policy", allowed, quoted(nearest(policy, POLICIES)))
    if policy not in REAL_TIME:
        if colon:
            raise FormError(f"{policy} has no priority", allowed, quoted(policy))
        return policy
    if not re.fullmatch("[0-9]{1,2}", priority) or int(priority) < 1:
        raise FormError(f"{policy} needs a priority", allowed, quoted(f"{policy}:1"))
    return f"{policy}:{int(priority)}"


def io_priority(text: str) -> str:
    """A class of ioprio_set(2) with its level, 0 to 7: "best-effort:4"; "idle" has none."""
    allowed = '"idle", "best-effort:0" to "best-effort:7", "realtime:0" to "realtime:7"'
    name, colon, level = text.strip().lower().partition(":")
    if name not in IO_CLASSES:
        raise FormError("not an I/O class", allowed, quoted(nearest(name, IO_CLASSES)))
    if name == "idle":
        if colon:
            raise FormError("idle has no level", allowed, quoted(name))
        return name
    if not re.fullmatch("[0-7]", level or "4"):
        raise FormError("not a level", allowed, quoted(f"{name}:4"))
    return f"{name}:{level or 4}"
