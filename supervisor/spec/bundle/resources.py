"""`linux.resources`: the limits of a cgroup."""

from typing import Any

from supervisor.spec.bundle.translation import Translation, says_nothing, to
from supervisor.spec.locate import Path

_PERIOD_US = 100_000


def resources(translation: Translation, value: Any, place: Path) -> None:
    """The whole of it. Rules for devices are upheld as they are: nobody inside can make a node."""
    translation.each(_MEMBERS, value, place)


def _memory(translation: Translation, value: Any, place: Path) -> None:
    if not translation.is_a(dict, value, place, "an object"):
        return
    limit = value.get("limit")

    def swap(_: Translation, both: Any, where: Path) -> None:
        """Turn memory and swap together, as cgroup v1 has it, into swap alone."""
        if not isinstance(both, int) or (both >= 0 and not isinstance(limit, int)):
            translation.refuse(where, "needs limit, too")
        elif both >= 0:
            translation.put(("limits", "memory_swap"), max(0, both - int(limit or 0)), where)

    def maximum(_: Translation, most: Any, where: Path) -> None:
        if most != -1:
            translation.put(("limits", "memory"), most, where)

    translation.each({"limit": maximum, "swap": swap, "checkBeforeUpdate": says_nothing}, value, place)


def _cpu(translation: Translation, value: Any, place: Path) -> None:
    if not translation.is_a(dict, value, place, "an object"):
        return
    quota, period = value.get("quota"), value.get("period") or _PERIOD_US

    def share(_: Translation, most: Any, where: Path) -> None:
        if not (isinstance(most, int) and isinstance(period, int)):
            translation.refuse(where, "wrong type", "numbers of microseconds")
        elif most > 0:
            translation.put(("limits", "cpu"), f"{100 * most / period:g}%", where)

    def weight(_: Translation, shares: Any, where: Path) -> None:
        """Convert as crun and systemd do: 2..262144 to 1..10000."""
        if translation.is_a(int, shares, where, "a number") and shares > 0:
            shares = min(max(shares, 2), 262144)
            translation.put(("limits", "cpu_weight"), 1 + (shares - 2) * 9999 // 262142, where)

    members = {"quota": share, "period": says_nothing, "shares": weight, "cpus": to("limits", "cpuset")}
    if isinstance(value, dict) and value.get("period") and quota is None:
        translation.refuse((*place, "period"), "needs quota, too")
    translation.each(members, value, place)


def _pids(translation: Translation, value: Any, place: Path) -> None:
    def most(_: Translation, number: Any, where: Path) -> None:
        if number not in (0, -1):
            translation.put(("limits", "pids"), number, where)

    translation.each({"limit": most}, value, place)


def _block_io(translation: Translation, value: Any, place: Path) -> None:
    def weight(_: Translation, number: Any, where: Path) -> None:
        """Convert as crun does: 10..1000 to 1..10000."""
        if translation.is_a(int, number, where, "a number") and number > 0:
            translation.put(("limits", "io_weight"), 1 + (min(max(number, 10), 1000) - 10) * 9999 // 990, where)

    translation.each({"weight": weight}, value, place)


def _unified(translation: Translation, value: Any, place: Path) -> None:
    members = {
        "memory.max": to("limits", "memory"),
        "memory.high": to("limits", "memory_high"),
        "memory.swap.max": to("limits", "memory_swap"),
        "pids.max": to("limits", "pids"),
        "cpu.weight": to("limits", "cpu_weight"),
        "cpuset.cpus": to("limits", "cpuset"),
    }
    if not translation.is_a(dict, value, place, "an object"):
        return
    numbers = {
        key: int(number) if isinstance(number, str) and number.isdigit() and key != "cpuset.cpus" else number
        for key, number in value.items()
        if number != "max"
    }
    translation.each(members, numbers, place)


_MEMBERS = {
    "devices": says_nothing,
    "memory": _memory,
    "cpu": _cpu,
    "pids": _pids,
    "blockIO": _block_io,
    "unified": _unified,
}
