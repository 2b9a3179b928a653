"""What the instances use, sampled off the event loop."""

import math
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import trio

from supervisor.control.models import UsageView

if TYPE_CHECKING:
    from supervisor.telemetry.usage import Sampler as TreeSampler
    from supervisor.telemetry.usage import Usage

BUSY_SHARE = 10  # a sample that took so long is what everybody gets for ten times that: a thousand workers take 0.2 s
LONG_S = 0.02  # a sample that took less is not worth keeping


class Sampler:
    """CPU percentages are those since the sample before, whoever asked for it."""

    def __init__(self) -> None:
        """Nothing is sampled until somebody asks."""
        self._trees: TreeSampler | None = None
        self._last: dict[int, Usage] = {}
        self._asked: frozenset[int] = frozenset()  # the last sample was of these
        self._good_until = 0.0
        self._error: Exception | None = None  # of the last sample
        self._done: trio.Event | None = None  # a sample is under way
        self._daemon_before: tuple[float, float] | None = None  # when, CPU seconds

    async def sample(
        self, pids: Mapping[str, int], ages_s: Mapping[str, float], patience_s: float = math.inf
    ) -> dict[str, UsageView]:
        """Usage of the trees below these pids, by instance; what is gone is left out.

        The first percentage of a tree is that since its start, `ages_s` ago. Where a sample takes longer than
        patience_s, the last one has to do, which may know nothing of them.
        """
        if not pids:
            return {}
        with trio.move_on_after(patience_s):
            await self._look(pids)
        found = self._last
        views = {}
        for name, pid in pids.items():
            usage = found.get(pid)
            if usage is None:
                continue
            percent = usage.cpu_percent
            if percent is None and ages_s.get(name, 0.0) > 0:
                percent = 100 * usage.cpu_s / ages_s[name]
            views[name] = UsageView(name, pid, percent, usage.cpu_s, usage.rss_bytes, usage.processes)
        return views

    async def _look(self, pids: Mapping[str, int]) -> None:
        """Have a sample that is fresh and of half of these at least: in a storm they change all the time.

        One thread at a time: it has to share the interpreter with all else.
        """
        while self._done is not None:
            await self._done.wait()
        if time.monotonic() < self._good_until and 2 * len(self._asked.intersection(pids.values())) >= len(pids):
            return
        done = self._done = trio.Event()
        if self._trees is None:
            from supervisor.telemetry.usage import Sampler as TreeSampler  # noqa: PLC0415 psutil, when asked for

            self._trees = TreeSampler()
        trio.lowlevel.spawn_system_task(self._sample, self._trees, frozenset(pids.values()), done)
        await done.wait()
        if self._error is not None:
            raise self._error

    async def _sample(self, trees: "TreeSampler", pids: frozenset[int], done: trio.Event) -> None:
        """To its end, whoever still waits for it."""
        begun, found, self._error = time.monotonic(), {}, None
        try:
            found = await trio.to_thread.run_sync(trees.sample, pids, abandon_on_cancel=True)
        except Exception as error:  # noqa: BLE001 for those who asked
            self._error = error
        now = time.monotonic()
        took_s = now - begun
        self._asked, self._last, self._done = pids, found, None
        self._good_until = now + took_s * BUSY_SHARE if took_s > LONG_S else 0.0
        done.set()

    def daemon(self) -> UsageView:
        """This process alone, without its children."""
        now, cpu_s = time.monotonic(), time.process_time()
        percent = None
        if self._daemon_before is not None and now > self._daemon_before[0]:
            percent = 100 * (cpu_s - self._daemon_before[1]) / (now - self._daemon_before[0])
        self._daemon_before = (now, cpu_s)
        return UsageView("(daemon)", os.getpid(), percent, cpu_s, _rss_bytes(), 1)


def _rss_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
