"""Words with a form of their own: signals, exits, capabilities, host names, addresses, id maps.

Each function takes what was written and returns its one normal form, or raises FormError.
"""

import ipaddress
import re
import signal
from collections.abc import Iterable, Sequence

from supervisor.spec import names
from supervisor.spec.capabilities import CAPABILITIES
from supervisor.spec.units import UnitError, parse_percent

SECCOMP_CHOICES = ("default", "off")
LONGEST_LABEL = 63  # RFC 1035
LONGEST_UTS_NAME = 64  # __NEW_UTS_LEN, bytes
MIN_CPUS, MAX_CPUS = 0.01, 100_000
MOST_RANGES = 340  # user_namespaces(7)

_SIGNALS = {member.name: int(member) for member in signal.Signals}
_REAL_TIME = re.compile(r"SIGRTMIN\+([0-9]{1,2})|SIGRTMAX-([0-9]{1,2})")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_ADDRESS = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]+)):([0-9]{1,5})")
_CPUS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_RANGE = re.compile(r"([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,10})")


class FormError(ValueError):
    """Why a word cannot be used; `allowed` and `nearest` where they help."""

    def __init__(self, message: str, allowed: str | None = None, nearest: str | None = None) -> None:
        super().__init__(message)
        self.allowed = allowed
        self.nearest = nearest


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, whatever its case."""
    if len(word) > 100:  # the cost grows with the product of the lengths
        return None
    by_lower = {name.lower(): name for name in known}
    found = names.nearest(word.lower(), by_lower)
    return by_lower[found] if found is not None else None


def quoted(word: str | None) -> str | None:
    """As TOML writes it, for words that need no escaping."""
    return None if word is None else f'"{word}"'


def signal_name(text: str) -> str:
    """SIGTERM for "TERM", "sigterm" and "SIGTERM"; also "SIGRTMIN+3"."""
    name = text.strip().upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name in _SIGNALS or _real_time(name) is not None:
        return name
    raise FormError("not a signal", 'a name such as "SIGTERM" or "TERM"', quoted(nearest(name, _SIGNALS)))


def signal_number(text: str) -> int:
    """The number of a signal's name on this machine. FormError where there is none."""
    name = signal_name(text)
    real_time = _real_time(name)
    return _SIGNALS[name] if real_time is None else real_time


def _real_time(name: str) -> int | None:
    match = _REAL_TIME.fullmatch(name)
    if match is None:
        return None
    above, below = match.groups()
    number = signal.SIGRTMIN + int(above) if above is not None else signal.SIGRTMAX - int(below)
    return number if signal.SIGRTMIN <= number <= signal.SIGRTMAX else None


def exit_name(value: int | str) -> int | str:
    """An exit code as it is, a signal by its normal name."""
    if isinstance(value, int):
        return value
    try:
        return signal_name(value)
    except FormError as error:
        code = re.fullmatch(r"\s*([0-9]{1,3})\s*", value)
        meant = code[1] if code and int(code[1]) <= 255 else error.nearest
        raise FormError("not a signal", "an exit code 0-255 or a signal's name", meant) from None


def capability_name(text: str) -> str:
    """CAP_KILL for "kill", "KILL" and "CAP_KILL"; ALL for "all"."""
    name = text.strip().upper()
    if name == "ALL":
        return name
    name = name if name.startswith("CAP_") else f"CAP_{name}"
    if name in CAPABILITIES:
        return name
    raise FormError("not a capability", 'names of capabilities(7), or "ALL"', quoted(nearest(name, CAPABILITIES)))


def seccomp_choice(text: str) -> str:
    """One of SECCOMP_CHOICES, or a path, which has a slash or ends in .json."""
    if text in SECCOMP_CHOICES or "/" in text or text.endswith(".json"):
        return text
    raise FormError("not allowed", None, quoted(nearest(text, SECCOMP_CHOICES)))


def worker_name(name: str) -> str:
    """A worker's name is its default host name: letters, digits and inner hyphens."""
    if not re.fullmatch(_LABEL, name):
        meant = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-")[:LONGEST_LABEL].strip("-")
        raise FormError("not usable as a host name", "letters, digits and inner hyphens", quoted(meant or None))
    return name


def uts_name(name: str) -> str:
    """A host or domain name as sethostname(2) takes it, without what would confuse a reader."""
    size = len(name.encode())
    if size > LONGEST_UTS_NAME:
        raise FormError(f"{size} bytes long", f"at most {LONGEST_UTS_NAME} bytes")
    if not name or not name.isprintable() or any(letter.isspace() or letter in "/{}" for letter in name):
        raise FormError("not a host name", "letters, digits, hyphens and dots")
    return name


def inner_path(path: str) -> str:
    """An absolute path inside the sandbox, without doubled slashes and `.`; `..` is refused."""
    if not path.startswith("/"):
        raise FormError("not an absolute path")
    if ".." in path.split("/"):
        raise FormError("'..' in a path inside the sandbox", "an absolute path without '..'")
    return "/" + "/".join(part for part in path.split("/") if part not in {"", "."})


def tcp_address(address: str) -> str:
    """HOST:PORT; an IPv6 address stands in brackets."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise FormError("not HOST:PORT")
    inner, host, port = match.groups()
    if not 1 <= int(port) <= 65535:
        raise FormError(f"port {port} is out of range", "a port from 1 to 65535")
    try:
        if inner is not None:
            ipaddress.IPv6Address(inner)
        elif re.fullmatch(r"[0-9.]+", host):
            ipaddress.IPv4Address(host)
        elif not _HOST.fullmatch(host):
            raise FormError("not a host name before the port")
    except ipaddress.AddressValueError:
        raise FormError(f"not an IPv{6 if inner is not None else 4} address before the port") from None
    return address


def cpus(value: float | str) -> float:
    """A number of CPUs: 0.5 for "50%" and for 0.5. At least a hundredth of one: the kernel's shortest quota is 1 ms."""
    try:
        number = parse_percent(value) if isinstance(value, str) else value
    except UnitError as error:
        raise FormError(str(error), None, _percent_meant(str(value))) from None
    if not MIN_CPUS <= number <= MAX_CPUS:
        raise FormError("out of range", f'from "1%" to {MAX_CPUS} CPUs')
    return float(number)


def _percent_meant(text: str) -> str | None:
    return f'"{text.strip()}%"' if re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", text) else None


def cpu_list(value: int | str) -> str:
    """Without white space, as cpuset.cpus takes it: "0-3,6"."""
    parts = str(value).replace(" ", "").split(",")
    for part in parts:
        match = _CPUS.fullmatch(part)
        if match is None:
            raise FormError("not a list of CPUs", 'numbers and ranges, such as "0-3,6"')
        first, last = match.groups()
        if last is not None and int(last) < int(first):
            raise FormError(f"the range {part} ends before it begins", 'numbers and ranges, such as "0-3,6"')
    return ",".join(parts)


def env_name(name: str) -> str:
    """An environment variable's name: what the kernel can pass on; shells want more."""
    if not name:
        raise FormError("an environment variable without a name")
    if "=" in name:
        raise FormError("'=' in an environment variable's name")
    if "\0" in name:
        raise FormError("a NUL byte in an environment variable's name")
    return name


def id_ranges(lines: Sequence[str]) -> list[tuple[int, int, int]]:
    """(inside, outside, count) of each "INSIDE:OUTSIDE:COUNT"; they must not overlap on either side."""
    if len(lines) > MOST_RANGES:
        raise FormError(f"{len(lines)} ranges", f"at most {MOST_RANGES}")
    ranges: list[tuple[int, int, int]] = []
    for line in lines:
        match = _RANGE.fullmatch(line)
        if match is None:
            raise FormError(f'"{line}" is not an id range', '"INSIDE:OUTSIDE:COUNT", three numbers')
        inside, outside, count = (int(number) for number in match.groups())
        if count < 1 or max(inside, outside) + count > 2**32 - 1:
            raise FormError(f'"{line}" is out of range', "a count of at least 1, and ids up to 4294967294")
        for earlier in ranges:
            for side, start, other in (("inside", inside, earlier[0]), ("outside", outside, earlier[1])):
                if start < other + earlier[2] and other < start + count:
                    text = ":".join(map(str, earlier))
                    raise FormError(f'"{line}" overlaps "{text}" {side} the namespace', "ranges that do not overlap")
        ranges.append((inside, outside, count))
    return ranges
