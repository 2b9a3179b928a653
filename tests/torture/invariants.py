"""What must hold of a fleet whatever becomes of its daemon. Also for other long runs: nothing here knows who kills."""

from typing import Any

Record = dict[str, Any]
KEPT_EXITS = 20


class Invariants:
    """Looked at again and again; `broken` says what did not hold, once each."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self._before: dict[str, Record] = {}
        self._exits: dict[tuple[str, int], Record] = {}

    def say(self, what: str) -> None:
        """Something is broken."""
        if what not in self.broken:
            self.broken.append(what)

    def look(self, detail: Record) -> None:
        """An answer of /v1/instances/NAME."""
        now, exits = detail["instance"], detail["exits"]
        name = now["name"]
        before: Record = self._before.get(name) or now
        self._before[name] = now
        for key in ("incarnation", "restarts"):
            if now[key] < before[key]:
                self.say(f"{name}: {key} went from {before[key]} back to {now[key]}")
        if now["incarnation"] == before["incarnation"] and now["pid"] and before["pid"] not in (None, now["pid"]):
            self.say(f"{name}: two processes were incarnation {now['incarnation']}: {before['pid']}, {now['pid']}")
        if now["state"] == "unkillable":
            self.say(f"{name} is unkillable")
        self._look_at_exits(name, now, exits)

    def _look_at_exits(self, name: str, now: Record, exits: list[Record]) -> None:
        numbers = [one["incarnation"] for one in exits]
        last = now["incarnation"] - (now["state"] in ("creating", "running", "ready", "stopping", "unkillable"))
        wanted = list(range(max(1, last - KEPT_EXITS + 1), last + 1))
        if numbers != wanted:
            self.say(f"{name}: exits of {numbers} are remembered, and incarnations {wanted} have ended")
        for one in exits:
            if self._exits.setdefault((name, one["incarnation"]), one) != one:
                self.say(f"{name}: its exit changed from {self._exits[name, one['incarnation']]} to {one}")


def stays_stopped(detail: Record) -> str | None:
    """What is wrong with one that was stopped by hand."""
    now = detail["instance"]
    if now["state"] in ("stopped", "stopping", "failed", "completed") and not now["wanted"]:
        return None
    return f"{now['name']} was stopped by hand, and is {now['state']}, wanted: {now['wanted']}"
