"""What the daemon and the keepers use, which is to stay bounded."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from tests.soak.descriptors import difference, quiet_kinds
from tests.torture.invariants import Invariants

MOST_RSS_BYTES = {"daemon": 200 << 20, "keeper": 64 << 20}
MOST_THREADS = {"daemon": 40, "keeper": 1}  # of the daemon's: trio's cache of threads for files on slow disks
MORE_DESCRIPTORS = 40  # at rest, than when the fleet was at rest for the first time


@dataclass
class Usage:
    """The largest figures of each kind, and what a fleet at rest had in the beginning."""

    invariants: Invariants
    most: dict[str, int] = field(default_factory=dict)
    _at_rest: dict[str, Counter[str]] = field(default_factory=dict)

    def look(self, kind: str, processes: Iterable[psutil.Process], *, at_rest: bool = False) -> None:
        """Of all daemons or keepers that there are. at_rest: and nobody asks them anything."""
        for process in processes:
            with suppress(psutil.Error, OSError):  # it was killed meanwhile
                rss, threads = process.memory_info().rss, process.num_threads()
                descriptors = process.num_fds()
                self._note(f"{kind} rss (KiB)", rss >> 10)
                self._note(f"{kind} threads", threads)
                self._note(f"{kind} descriptors", descriptors)
                if rss > MOST_RSS_BYTES[kind]:
                    self.invariants.say(f"the {kind} {process.pid} has {rss >> 20} MiB in memory")
                if threads > MOST_THREADS[kind]:
                    self.invariants.say(f"the {kind} {process.pid} has {threads} threads")
                if at_rest:
                    self._look_at_rest(kind, process)

    def _look_at_rest(self, kind: str, process: psutil.Process) -> None:
        now = quiet_kinds(process)
        self._note(f"{kind} descriptors at rest", now.total())
        first = self._at_rest.setdefault(kind, now)
        if now.total() > first.total() + MORE_DESCRIPTORS:
            more = difference(now, first)
            self.invariants.say(f"the {kind} {process.pid} has {now.total()} descriptors, had {first.total()}: {more}")

    def _note(self, name: str, figure: int) -> None:
        self.most[name] = max(self.most.get(name, 0), figure)
