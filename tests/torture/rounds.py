"""Rounds of: ask for something, SIGKILL the daemon a random moment later, let systemd start the next, look."""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.torture.asking import NotThereError, RefusedError
from tests.torture.fleet import instances
from tests.torture.invariants import Invariants, stays_stopped
from tests.torture.lines import judge
from tests.torture.service import Service

SETTLE_S = 60.0
Ask = Callable[[], object]


@dataclass
class Report:
    """What was done, and what became of it."""

    seed: int
    rounds: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)


class Torture:
    """One fleet, one random stream: the same seed asks for the same things at the same delays."""

    def __init__(self, service: Service, seed: int) -> None:
        self.service = service
        self.report = Report(seed)
        self.invariants = Invariants()
        self._random = random.Random(seed)
        self._by_hand: bool | None = True  # whether `hand` is wanted; None: nobody was told
        self._longest_s = 0.0
        self._last: dict[str, Any] = {}
        self._moments: dict[str, Ask] = {
            "nothing": lambda: None,
            "start": lambda: self._post("start", "hand"),
            "stop": lambda: self._post("stop", "hand"),
            "restart": lambda: self._post("restart", "steady-1", "deaf"),
            "reload": self._reload,
            "one crash": lambda: self._kill("steady-0"),
            "crash storm": lambda: self._kill(*instances()),
            "kill": lambda: self._kill("probed", signal="SIGTERM"),
            "pause": lambda: self._post("pause", "flood"),
            "stop of all": lambda: self._post("stop", *[name for name in instances() if name != "hand"]),
            "start of all": lambda: self._post("start", *[name for name in instances() if name != "hand"]),
        }

    def run(self, rounds: int) -> Report:
        """All of them, and the final account."""
        self.service.start()
        try:
            self.service.wait_until_it_answers()
            self._details()
            self._settle(0, "nothing")
            for number in range(1, rounds + 1):
                self._round(number)
                self.report.rounds = number
                if self.invariants.broken:
                    break
        except AssertionError as error:
            self.invariants.say(f"round {self.report.rounds + 1}: {error}")
        left = self.service.stop()
        for what in left:
            self.invariants.say(f"left behind: {what}")
        self._account()
        return self.report

    def _round(self, number: int) -> None:
        moment = self._random.choice(list(self._moments))
        delay_s = self._random.choice((0.003, 0.03, 0.3)) * self._random.random()
        again_s = self._random.random() if self._random.random() < 0.25 else None
        was = self._by_hand
        pid, pidfd = self.service.pidfd()
        asking = threading.Thread(target=self._ask, args=(moment, self._moments[moment]))
        if moment in ("start", "stop"):
            self._by_hand = None
        asking.start()
        time.sleep(delay_s)
        self.service.kill(pid, pidfd)
        self.report.kills[moment] += 1
        killed_at = time.monotonic()
        asking.join()
        if again_s is not None:
            pid, pidfd = self.service.pidfd(but=pid)
            time.sleep(again_s)
            self.service.kill(pid, pidfd)
            self.report.kills["start-up"] += 1
            killed_at = time.monotonic()
        self.service.wait_until_it_answers()
        self._longest_s = max(self._longest_s, time.monotonic() - killed_at)
        self._look(number, moment, stopped=was is False and self._by_hand is False)
        self._settle(number, moment)

    def _ask(self, moment: str, ask: Ask) -> None:
        try:
            ask()
        except NotThereError:
            return
        except RefusedError as error:
            if "409" not in str(error):
                self.invariants.say(f"{moment}: {error}")
            return
        if moment in ("start", "stop"):
            self._by_hand = moment == "start"

    def _post(self, verb: str, *names: str) -> None:
        self.service.ask("POST", f"/v1/{verb}", names=list(names))

    def _kill(self, *names: str, signal: str = "SIGKILL") -> None:
        for name in names:
            with suppress(RefusedError):  # there is nothing to send it to
                self.service.ask("POST", "/v1/kill", names=[name], signal=signal)

    def _reload(self) -> None:
        self.service.change()
        self.service.ask("POST", "/v1/reload")

    def _details(self) -> dict[str, Any]:
        found = {name: self.service.ask("GET", f"/v1/instances/{name}")[0] for name in instances()}
        for detail in found.values():
            self.invariants.look(detail)
        self._last = found
        return found

    def _look(self, number: int, moment: str, *, stopped: bool) -> None:
        hand = self._details()["hand"]
        if stopped and moment not in ("start", "stop") and (wrong := stays_stopped(hand)):
            self.invariants.say(f"round {number}, {moment}: {wrong}")
        if self._by_hand is None:
            self._by_hand = hand["instance"]["wanted"]

    def _settle(self, number: int, moment: str) -> None:
        """All that is wanted is up again, without another kill."""
        deadline = time.monotonic() + SETTLE_S
        if self._last["flood"]["instance"]["paused"]:
            self._post("unpause", "flood")
        if moment == "stop of all":
            self._post("start", *[name for name in instances() if name != "hand"])
        while wrong := self._unsettled():
            if time.monotonic() > deadline:
                states = {name: one["instance"]["state"] for name, one in self._last.items()}
                self.invariants.say(f"round {number}, {moment}: {wrong} after {SETTLE_S} s: {states}")
                return
            time.sleep(0.05)
            self._details()

    def _unsettled(self) -> list[str]:
        wrong = []
        for name, detail in self._last.items():
            now = detail["instance"]
            wanted = bool(self._by_hand) if name == "hand" else True
            states = ("ready", "running", "creating", "backoff") if name == "crashy" else ("ready",)
            if now["state"] not in (states if wanted else ("stopped",)):
                wrong.append(name)
        return wrong

    def _account(self) -> None:
        records = self.service.records()
        events = Counter(one.get("event") for one in records)
        data = self.service.data
        doubles = data / "doubles"
        if doubles.exists():
            self.invariants.say(f"two copies at once: {doubles.read_text()}")
        holes = lines = 0
        exited = [one for one in records if one.get("event") == "worker.exited"]
        for name in instances():
            verdict = judge(name, self.service.logs / f"{name}.log", data, records)
            holes += len(verdict.holes)
            lines += verdict.lines
            for what in verdict.broken:
                self.invariants.say(what)
            marks = data / f"{name}.starts"
            starts = len(marks.read_text().splitlines()) if marks.exists() else 0
            if not starts:
                self.invariants.say(f"{name} never ran")
        for event in ("state.unreadable", "daemon.failed", "worker.unkillable", "log.unwatched", "log.failed"):
            if events[event]:
                first = next(one for one in records if one.get("event") == event)
                self.invariants.say(f"{events[event]} times {event}: {first}")
        self.report.broken = self.invariants.broken
        self.report.figures = {
            "daemons": events["daemon.started"],
            "keepers": events["keeper.started"],
            "adoptions": events["worker.adopted"],
            "launches": events["worker.launching"],
            "strays": events["worker.stray"],
            "interrupted": sum(one.get("cause") == "interrupted" for one in exited),
            "lines": lines,
            "holes": holes,
            "log.lost": events["log.lost"],
            "log.repaired": events["log.repaired"],
            "longest gap (s)": round(self._longest_s, 2),
            "cpus": os.cpu_count() or 0,
        }
