"""Several logs as one, by time: what there is, and what comes."""

import heapq
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from supervisor.cli.log_lines import Line, record_reader
from supervisor.cli.log_selection import Selection, concerns
from supervisor.cli.logfiles import Complain, LogReader

POLL_S = 0.2
LOOK_AGAIN_S = 2.0  # for instances that a reload has brought


class Timeline:
    """Logs of instances and, where they are wanted, the records of the daemon that are about them."""

    def __init__(
        self,
        paths: Mapping[str, str],
        records: str | None,
        names: set[str],
        selection: Selection,
        complain: Complain,
    ) -> None:
        """paths: by instance; records: the daemon's file; names: of the instances that its records may be about."""
        self._complain = complain
        self._readers = {name: LogReader(path, complain) for name, path in paths.items()}
        self._records = LogReader(records, complain) if records is not None else None
        self._read_record = record_reader() if records is not None else None
        self._names = names
        self._begins_at: dict[str, float] = {}  # of what was taken in later: nothing from before
        self._selection = selection

    def close(self) -> None:
        """Let go of the files."""
        for reader in (*self._readers.values(), *([self._records] if self._records is not None else [])):
            reader.close()

    def past(self, count: int | None) -> Iterator[Line]:
        """What there is; only the last `count` of each instance, if given, and of what is about none."""
        since = self._selection.since
        if count is not None:
            return iter(self._last(count))
        sources = [self._output(name, reader.everything(since)) for name, reader in self._readers.items()]
        if self._records is not None:
            sources.append(self._about(self._records.everything(since)))
        return heapq.merge(*sources, key=Line.when)

    def fresh(self) -> list[Line]:
        """What came since."""
        new = [
            line
            for name, reader in self._readers.items()
            for line in self._output(name, reader.fresh())
            if line.when() >= self._begins_at.get(name, 0.0)
        ]
        if self._records is not None:
            new += self._about(self._records.fresh())
        return sorted(new, key=Line.when)

    @property
    def has_several(self) -> bool:
        """Whether there is more than one log of an instance."""
        return len(self._readers) > 1

    def follow(self, look_again: Callable[[], Mapping[str, str]] = dict) -> Iterator[Line]:
        """What comes, for ever. With several logs a line waits for one more look, as an earlier one may be found.

        look_again: the paths by instance, as they are now.
        """
        held: list[Line] = []
        looked_at = time.monotonic()
        while True:
            if time.monotonic() - looked_at >= LOOK_AGAIN_S:
                for name, path in look_again().items():
                    self._add(name, path)
                looked_at = time.monotonic()
            single = len(self._readers) + (self._records is not None) == 1
            settled = 0.0 if single else max([time.time() - POLL_S, *map(Line.when, held)])
            held = sorted([*held, *self.fresh()], key=Line.when)
            ready = len(held) if single else sum(line.when() <= settled for line in held)
            yield from held[:ready]
            del held[:ready]
            time.sleep(POLL_S)

    def _add(self, name: str, path: str) -> None:
        """Take another log; what is in it from earlier is left out."""
        if name in self._readers:
            return
        self._names.add(name)
        self._readers[name] = LogReader(path, self._complain)
        self._begins_at[name] = time.time() - 2 * LOOK_AGAIN_S

    def _output(self, name: str, raws: Iterable[bytes], neighbour: float = 0.0) -> Iterator[Line]:
        wants = self._selection.wants
        for raw in raws:
            line = Line.read(name, raw, neighbour)
            neighbour = line.when()
            if wants(line):
                yield line

    def _about(self, raws: Iterable[bytes]) -> Iterator[Line]:
        read: Callable[[bytes], Line | None] = self._read_record or (lambda _: None)
        return (
            line
            for raw in raws
            if (line := read(raw)) is not None and concerns(line, self._names) and self._selection.wants(line)
        )

    def _last(self, count: int) -> list[Line]:
        found: dict[str, list[Line]] = {}
        for name, reader in self._readers.items():
            found[name] = _first(count, self._output(name, reader.newest_first(), math.inf))
        if self._records is not None:
            about: dict[str, list[Line]] = defaultdict(list)
            unfilled = set(self._names) if count else set()
            backwards = self._about(self._records.newest_first())
            while unfilled and (line := next(backwards, None)) is not None:
                if len(about[line.instance]) < count:
                    about[line.instance].append(line)
                if len(about[line.instance]) == count:
                    unfilled.discard(line.instance)
            for name, lines in about.items():
                both = heapq.merge(found.get(name, []), lines, key=Line.when, reverse=True)
                found[name] = _first(count, both)
        return sorted((line for lines in found.values() for line in reversed(lines)), key=Line.when)


def _first(count: int, lines: Iterator[Line]) -> list[Line]:
    return [line for _, line in zip(range(count), lines, strict=False)]
