"""Output that was not kept: counted, and told by `log.dropped` at once and then every so often while it goes on."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import trio

REPORT_S = 10.0

Reason = Literal["rate", "slow", "failed", "unread"]
StartSoon = Callable[..., Any]


class Publish(Protocol):
    """Where events go."""

    def __call__(self, event: str, level: str, **fields: object) -> None:
        """Publish one."""


class Losses:
    """What one instance has lost over its writer's life, and what of it was not told yet."""

    def __init__(
        self, publish: Publish, start_soon: StartSoon | None = None, settled: Callable[[int], None] = lambda _: None
    ) -> None:
        """start_soon: of a nursery that outlives the incarnations; without it each loss is told by itself.

        settled: hears how many bytes were told.
        """
        self.lines = 0
        self.bytes = 0
        self._publish = publish
        self._start_soon = start_soon
        self._settled = settled
        self._untold: dict[Reason, tuple[int, int]] = {}
        self._reporting = False

    def count(self, lines: int, size_bytes: int) -> None:
        """Count what is told otherwise."""
        self.lines += lines
        self.bytes += size_bytes

    def drop(self, reason: Reason, lines: int, size_bytes: int) -> None:
        """Count it and have it told."""
        self.count(lines, size_bytes)
        before = self._untold.get(reason, (0, 0))
        self._untold[reason] = before[0] + lines, before[1] + size_bytes
        if self._start_soon is None:
            self.tell()
        elif not self._reporting:
            self._reporting = True
            self._start_soon(self._report)

    def tell(self) -> None:
        """Say what was not said yet."""
        untold, self._untold = self._untold, {}
        for reason, (lines, size_bytes) in untold.items():
            if lines or size_bytes:
                self._publish("log.dropped", "warning", reason=reason, lost_lines=lines, lost_bytes=size_bytes)
                self._settled(size_bytes)

    async def _report(self) -> None:
        try:
            while self._untold:
                self.tell()
                await trio.sleep(REPORT_S)
        finally:
            self._reporting = False
            self.tell()
