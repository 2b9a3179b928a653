"""What must hold of a fleet whatever becomes of its daemon. Also for other long runs: nothing here knows who kills."""

from typing import Any

Record = dict[str, Any]
KEPT_EXITS = 20


class Invariants:
    """Looked at again and again; `broken` says what did not hold, once each."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self._before: dict[str, Record] = {}
        self._exits: dict[str, dict[int, Record]] = {}  # those remembered when it was looked at last
        self._forgotten: set[str] = set()
        self._unknown: dict[str, set[int]] = {}  # incarnations whose exits nobody may know

    def say(self, what: str) -> None:
        """Something is broken."""
        if what not in self.broken:
            self.broken.append(what)

    def forget(self) -> None:
        """Daemon and keeper are killed at once: what the keeper held of the present goes with it."""
        self._forgotten = set(self._before)

    def look(self, detail: Record) -> None:
        """An answer of /v1/instances/NAME."""
        now, exits = detail["instance"], detail["exits"]
        name = now["name"]
        before: Record = self._before.get(name) or now
        self._before[name] = now
        forgotten = name in self._forgotten
        self._forgotten.discard(name)
        if forgotten:
            self._unknown.setdefault(name, set()).update(range(before["incarnation"], now["incarnation"] + 1))
        for key in ("incarnation",) if forgotten else ("incarnation", "restarts"):
            if now[key] < before[key]:
                self.say(f"{name}: {key} went from {before[key]} back to {now[key]}")
        same = now["incarnation"] == before["incarnation"] and not forgotten
        if same and now["pid"] and before["pid"] not in (None, now["pid"]):
            self.say(f"{name}: two processes were incarnation {now['incarnation']}: {before['pid']}, {now['pid']}")
        if now["state"] == "unkillable":
            self.say(f"{name} is unkillable")
        self._look_at_exits(name, now, exits)

    def _look_at_exits(self, name: str, now: Record, exits: list[Record]) -> None:
        numbers = [one["incarnation"] for one in exits]
        last = now["incarnation"] - (now["state"] in ("creating", "running", "ready", "stopping", "unkillable"))
        wanted = list(range(max(1, last - KEPT_EXITS + 1), last + 1))
        unknown = self._unknown.get(name, set())
        if numbers != wanted and ([*unknown.intersection(wanted)] == [] or not _is_but_for(unknown, numbers, wanted)):
            self.say(f"{name}: exits of {numbers} are remembered, and incarnations {wanted} have ended")
        known = self._exits.get(name, {})
        for one in exits:
            if known.get(one["incarnation"], one) != one:
                self.say(f"{name}: its exit changed from {known[one['incarnation']]} to {one}")
        self._exits[name] = {one["incarnation"]: one for one in exits}


def _is_but_for(unknown: set[int], numbers: list[int], wanted: list[int]) -> bool:
    """Whether these are the wanted ones, with older ones in place of those unknown."""
    known = [number for number in wanted if number not in unknown]
    return [number for number in numbers if number in wanted and number not in unknown] == known == sorted(set(known))


def stays_stopped(detail: Record) -> str | None:
    """What is wrong with one that was stopped by hand."""
    now = detail["instance"]
    if now["state"] in ("stopped", "stopping", "failed", "completed") and not now["wanted"]:
        return None
    return f"{now['name']} was stopped by hand, and is {now['state']}, wanted: {now['wanted']}"
