"""A mixed fleet, random operations, and what must hold all the while."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.soak.commands import Commands
from tests.soak.fleet import instances, members, toml
from tests.soak.operations import DISTURBING, GENTLE, Operation
from tests.soak.output import Output
from tests.soak.place import Place, daemon_and_keepers
from tests.soak.records import Records
from tests.soak.report import Report, figures
from tests.soak.usage import Usage
from tests.soak.wishes import Wishes
from tests.torture.asking import NotThereError, RefusedError
from tests.torture.invariants import Invariants, stays_stopped

PATIENCE_S = 90.0  # for a daemon that answers, for a fleet that is at rest
MOST_ASIDE = 8
LOOK_EVERY_S = 2.0
EXPECTED = ("409", "503", "404")  # not in this state; another program takes over; the variant has no such worker
BAD_FILE = "422"
UP = ("creating", "running", "ready", "backoff", "waiting", "stopping")


class Soak:
    """One fleet at one place, one random stream. Operations are in operations.py."""

    def __init__(self, place: Place, seed: int, say: Callable[[str], object], *, has_tun: bool) -> None:
        self.place = place
        self.workers = members(has_tun=has_tun)
        self.fleet = instances(self.workers)
        self.by_hand = [name for name, one in self.fleet.items() if one.by_hand]
        self.invariants = Invariants()
        self.commands = Commands(place, self.invariants)
        self.records = Records(place.records_file, self.invariants)
        self.usage = Usage(self.invariants)
        self.kills: Counter[str] = Counter()
        self.variant = 1
        self.configuring = threading.Lock()  # of the file, until a daemon has read it
        self.report = Report(seed)
        self.outputs = {
            name: Output(name, place.logs / f"{name}.log", place.data, self.invariants, comes_and_goes=one.odd_only)
            for name, one in self.fleet.items()
        }
        self._dice = random.Random(seed)
        self._say = say
        self._aside: list[threading.Thread] = []
        self._disturbing = 0  # how many disturbances there were, and are
        self._disturbed_until = 0.0
        self.wishes = Wishes(self.by_hand)
        self._lock = threading.Lock()
        self.longest_s = self.longest_gap_s = 0.0
        self.rests = 0

    # What operations use.

    def aside(self, what: Callable[[], object], *, disturbs: bool = False) -> None:
        """Do it without waiting for it, but not too many at a time."""

        def run() -> None:
            try:
                with suppress(NotThereError):  # its daemon was killed
                    what()
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs into the verdict
                self.invariants.say(f"{type(error).__name__}: {error}")
            finally:
                if disturbs:
                    self._disturbed()

        if disturbs:
            self._disturbed()
        self._aside = [one for one in self._aside if one.is_alive()]
        if len(self._aside) >= MOST_ASIDE:
            self._aside.pop(0).join(PATIENCE_S)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._aside.append(thread)

    def post(self, verb: str, *, refused: bool = False, **body: object) -> bool:
        """One request; whether it was accepted. refused: it has to be."""
        try:
            self.place.ask("POST", f"/v1/{verb}", **body)
        except RefusedError as error:
            if not any(f": {status} " in str(error) for status in (EXPECTED if not refused else (BAD_FILE, "503"))):
                raise
            return False
        if refused:
            self.invariants.say(f"{verb} was accepted: {body}")
        return True

    def want(self, name: str, verb: str) -> None:
        """Ask for it to be up or down, and remember the answer."""
        self.wishes.ask(name, verb, lambda: self.post(verb, names=[name]))

    def write(self, more: str = "") -> None:
        """The configuration of the present variant, and perhaps what is wrong."""
        self.place.config = self._toml() + more
        self.place.write()

    def count(self, event: str) -> int:
        """How often the daemons have told it."""
        self.records.read()
        return self.records.events[event]

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """AssertionError where it takes too long."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert not self.place.unasked, self.place.unasked
            assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what}"
            time.sleep(0.02)

    def _toml(self) -> str:
        return toml(self.workers, self.place.data, self.variant)

    def starts(self) -> dict[str, int]:
        return {name: output.starts for name, output in self.outputs.items()}

    def excuse(self, before: dict[str, int]) -> None:
        """What ran since then may lack its last lines, for daemon and keeper were killed."""
        for name, output in self.outputs.items():
            output.excused.update(range(before[name] - 1, output.starts + 1))

    def state_may_be_lost(self) -> None:
        """Who was stopped by hand, and how often what was restarted: it goes with the keeper."""
        self.wishes.forget()
        self.invariants.forget()

    @property
    def disturbances(self) -> int:
        """So many were there: unchanged if none was in between."""
        return self._disturbing

    def _disturbed(self) -> None:
        with self._lock:
            self._disturbing += 1
            self._disturbed_until = time.monotonic() + 1

    # The run.

    def run(self, seconds: float) -> Report:
        """Chapters: one with disturbances, one without; the fleet comes to rest after each."""
        began = time.monotonic()
        ends = began + seconds
        self.place.config = self._toml()
        try:
            self.place.start()
            self._answers()
            self._rest()
            chapter_s = min(120.0, seconds / 4)
            disturb = True
            while time.monotonic() < ends and not self.invariants.broken:
                self._chapter(min(time.monotonic() + chapter_s, ends), began, disturb=disturb)
                if not self.invariants.broken:
                    self._rest()
                disturb = not disturb
        except (AssertionError, NotThereError) as error:
            self.invariants.say(str(error))
        self.report.seconds = time.monotonic() - began
        self._finish()
        return self.report

    def _chapter(self, until: float, began: float, *, disturb: bool) -> None:
        weights: dict[Operation, float] = GENTLE | (DISTURBING if disturb else {})
        look_at = 0.0
        while (now := time.monotonic()) < until and not self.invariants.broken:
            if now >= look_at:
                self._look()
                took_s = time.monotonic() - now
                look_at = time.monotonic() + max(LOOK_EVERY_S, 2 * took_s)
            (operation,) = self._dice.choices(list(weights), list(weights.values()))
            self.report.operations[operation.__name__] += 1
            disturbs = operation in DISTURBING
            if disturbs:
                self._disturbed()
            with suppress(NotThereError):
                operation(self, self._dice)
            if disturbs:
                self._disturbed()
                self._answers()
            if int(now - began) // 60 > int(self.report.seconds) // 60:
                self._progress(now - began)
            self.report.seconds = now - began
            time.sleep(min(1.0, self._dice.expovariate(8)))

    def _answers(self) -> None:
        """Wait for a daemon that answers."""
        began = time.monotonic()
        self.wait_for(self._does_answer, "a daemon that answers")
        self.longest_gap_s = max(self.longest_gap_s, time.monotonic() - began)

    def _does_answer(self) -> bool:
        with suppress(NotThereError):
            self.place.ask("GET", "/v1/version")
            return True
        return False

    def _ask(self, path: str) -> Any:
        """GET, timed where nothing disturbs."""
        before, began = self._disturbing, time.monotonic()
        answer = self.place.ask("GET", path)
        if before == self._disturbing and began > self._disturbed_until:
            self.longest_s = max(self.longest_s, time.monotonic() - began)
        return answer

    def _details(self) -> dict[str, Any]:
        found = {}
        for name in self.fleet:
            was_down = self.wishes.is_down(name)
            try:
                detail = self._ask(f"/v1/instances/{name}")[0]
            except RefusedError as error:
                if self.fleet[name].odd_only:
                    continue
                raise AssertionError(f"{name}: {error}") from None
            found[name] = detail
            if not self.fleet[name].odd_only:
                self.invariants.look(detail)
            if was_down and self.wishes.is_down(name):  # and nobody asked for it in between
                wrong = stays_stopped(detail)
                if wrong:
                    self.invariants.say(wrong)
        return found

    def _look(self) -> None:
        self.commands.tidy()
        with suppress(NotThereError):
            self._details()
        self.records.read()
        for output in self.outputs.values():
            output.look()
        daemons, keepers = daemon_and_keepers(self.place)
        self.usage.look("daemon", daemons)
        self.usage.look("keeper", keepers)
        if (doubles := self.place.data / "doubles").exists():
            self.invariants.say(f"two copies at once: {doubles.read_text()}")

    def _rest(self) -> None:
        """Nobody does anything: all that is wanted comes up, what is not stays down, and nothing is left of it."""
        self.rests += 1
        self.commands.tidy(everything=True)
        for again in (False, True):  # a command that is executed in a worker that is paused waits for it
            self._answers()
            for name in self.fleet:
                with suppress(NotThereError):
                    self.post("unpause", names=[name])
            for thread in self._aside:
                thread.join(PATIENCE_S)
                if again and thread.is_alive():
                    self.invariants.say(f"a request has had no answer for {2 * PATIENCE_S} s")
        self._answers()
        down = {name for name in self.by_hand if self.wishes.is_down(name)}
        self._look()
        deadline = time.monotonic() + PATIENCE_S
        while wrong := self._unsettled(down):
            if time.monotonic() > deadline:
                self.invariants.say(f"not at rest after {PATIENCE_S} s: {', '.join(wrong)}")
                return
            time.sleep(0.1)
            self._look()
        self._look()
        for name, output in self.outputs.items():
            output.settle(self.records.lost[name], dropped=name == "spill")
        daemons, keepers = daemon_and_keepers(self.place)
        self.usage.look("daemon", daemons, at_rest=True)
        self.usage.look("keeper", keepers, at_rest=True)
        self._start_all()

    def _unsettled(self, down: set[str]) -> list[str]:
        wrong = []
        for name, detail in self._details().items():
            now = detail["instance"]
            state, wanted = now["state"], now["wanted"]
            good: tuple[str, ...] = ("stopped", "failed", "completed")
            if name not in down and wanted:
                good = ("ready",) if self.fleet[name].settles else (*UP, "completed", "failed")
            if state not in good:
                wrong.append(f"{name} {state}")
        running = Counter(
            words[words.index("/data/workload.py") + 1]
            for words in self._command_lines()
            if "/data/workload.py" in words[:-2]
        )
        wrong += [f"{name} {running[name]} processes though it is stopped" for name in down if running[name]]
        return wrong

    def _command_lines(self) -> list[list[str]]:
        found = []
        for process in self.place.processes():
            with suppress(Exception):
                found.append(process.cmdline())
        return found

    def _start_all(self) -> None:
        for name in self.by_hand:
            with suppress(NotThereError):
                self.want(name, "start")

    def _finish(self) -> None:
        self.commands.tidy(everything=True)
        self.report.records = self._records_of_what_broke()
        killed, ended = self.kills["daemon"] + self.kills["both"], self.place.ended_daemons()
        if ended > killed:
            self.invariants.say(f"{ended} daemons have ended, and only {killed} were killed")
        left = self.place.stop()
        for what in left:
            self.invariants.say(f"left behind: {what}")
        self.records.read()
        for name, output in self.outputs.items():
            output.finish(self.records.lost[name], dropped=name == "spill")
            if not output.starts and not self.fleet[name].odd_only:
                self.invariants.say(f"{name} never ran")
        self.report.broken = self.invariants.broken
        if not self.report.records:
            self.report.records = self._records_of_what_broke()
        self.report.figures = figures(self)

    def _records_of_what_broke(self) -> list[str]:
        self.records.read()
        return self.records.about(" ".join(self.invariants.broken)) if self.invariants.broken else []

    def _progress(self, at_s: float) -> None:
        now = figures(self)
        keys = ("operations", "daemons", "re-execs", "launches", "exits", "lines", "longest answer (s)")
        self._say(f"{at_s / 60:5.1f} min: " + ", ".join(f"{now[key]} {key}" for key in keys))
