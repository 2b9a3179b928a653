"""What the instances use, sampled off the event loop."""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import trio

from supervisor.control.models import UsageView

if TYPE_CHECKING:
    from supervisor.telemetry.usage import Sampler as TreeSampler


class Sampler:
    """CPU percentages are those since the sample before, whoever asked for it."""

    def __init__(self) -> None:
        """Nothing is sampled until somebody asks."""
        self._trees: TreeSampler | None = None
        self._lock = trio.Lock()
        self._daemon_before: tuple[float, float] | None = None  # when, CPU seconds

    async def sample(self, pids: Mapping[str, int], ages_s: Mapping[str, float]) -> dict[str, UsageView]:
        """Usage of the trees below these pids, by instance; what is gone is left out.

        The first percentage of a tree is that since its start, `ages_s` ago.
        """
        if not pids:
            return {}
        async with self._lock:  # one thread at a time
            if self._trees is None:
                from supervisor.telemetry.usage import Sampler as TreeSampler  # noqa: PLC0415 psutil, when asked for

                self._trees = TreeSampler()
            found = await trio.to_thread.run_sync(self._trees.sample, tuple(pids.values()))
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
