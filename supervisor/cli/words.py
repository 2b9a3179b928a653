"""Numbers and records as short words for people."""

from supervisor.control.models import InstanceView
from supervisor.spec.records import ExitRecord

LONGEST_PROBE = 48  # characters
ABSENT = "-"


def span(seconds: float | None) -> str:
    """A duration in its two greatest units: 2d3h, 5m12s, 1.5s, 12ms."""
    if seconds is None:
        return ABSENT
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 10:
        return f"{seconds:.1f}s"
    left = round(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])


def micros(duration_us: int) -> str:
    """A duration of a phase: 850us, 12.3ms, 1.20s."""
    if duration_us < 1000:
        return f"{duration_us}us"
    if duration_us < 1_000_000:
        return f"{duration_us / 1000:.1f}ms"
    return f"{duration_us / 1_000_000:.2f}s"


def size(bytes_: int | None) -> str:
    """Bytes with three digits and a binary unit: 34.5M."""
    if bytes_ is None:
        return ABSENT
    amount = float(bytes_)
    for unit in ("B", "K", "M", "G"):
        if amount < 1024:
            return f"{amount:.0f}{unit}" if unit == "B" or amount >= 100 else f"{amount:.1f}{unit}"
        amount /= 1024
    return f"{amount:.1f}T"


def percent(value: float | None) -> str:
    """Of one CPU."""
    return ABSENT if value is None else f"{value:.1f}%"


def _short(text: str) -> str:
    """For a table; `explain` shows the whole."""
    return text if len(text) <= LONGEST_PROBE else f"{text[: LONGEST_PROBE - 1]}…"


def exit_words(record: ExitRecord) -> str:
    """How an incarnation ended, in a few words."""
    if record.oom_killed:
        return "out of memory"
    match record.cause:
        case "exit":
            return f"code {record.code} (or {record.or_signal})" if record.or_signal else f"code {record.code}"
        case "signal":
            call = f" in {record.syscall}" if record.syscall else ""
            return f"{record.signal}{call} (core dumped)" if record.core_dumped else f"{record.signal}{call}"
        case "network":
            return "network gone"
        case "unhealthy":
            return f"unhealthy: {_short(record.probe)}" if record.probe else "unhealthy"
        case "setup":
            return " ".join(filter(None, ("set-up failed:", record.phase, record.errno)))
        case "setup-timeout":
            return f"set-up hung: {record.phase}" if record.phase else "set-up hung"
        case "interrupted":
            return "daemon died meanwhile"
        case _:
            return "unknown"


def state_words(view: InstanceView) -> str:
    """The state with what one would ask next."""
    notes = ["paused"] if view.paused else []
    if view.health in ("starting", "unhealthy"):
        notes.append(view.health)
    if view.notified in ("reloading", "stopping"):
        notes.append(view.notified)
    if view.next_start_in_s is not None:
        notes.append(f"in {span(view.next_start_in_s)}")
    if view.crash_loop:
        notes.append("crash loop")
    return f"{view.state} ({', '.join(notes)})" if notes else view.state
