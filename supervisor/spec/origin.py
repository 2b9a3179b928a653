"""Where the keys of an effective worker were written: in its own table or in [defaults]."""

from collections.abc import Sequence
from typing import Any

from supervisor.spec.locate import Path
from supervisor.spec.report import Report
from supervisor.spec.source import ABSENT, Source


class Origin:
    """One worker's tables, and the report that its problems go to."""

    def __init__(
        self, report: Report, source: Source, name: str, defaults: Sequence[Source], bundles: Sequence[Source] = ()
    ) -> None:
        """bundles: what an OCI bundle says of the worker, between its own table and [defaults]."""
        self._report = report
        self._places: list[tuple[Source, tuple[str, ...]]] = [(one, ("worker", name)) for one in (source, *bundles)]
        self._places += [(other, ("defaults",)) for other in defaults]
        self.source = source
        self.name = name

    def written(self, *path: str | int) -> bool:
        """Whether the key is written, here or in [defaults]."""
        return self._find(path)[2] is not ABSENT

    def written_here(self, *path: str | int) -> bool:
        """Whether the key is written in the worker's own table."""
        source, prefix = self._places[0]
        return source.get((*prefix, *path)) is not ABSENT

    def ok(self, *path: str | int) -> bool:
        """Whether nothing is known to be wrong with the key, wherever it is written."""
        return not any(self._report.is_bad(source, (*prefix, *path)) for source, prefix in self._places)

    def add(
        self,
        path: Path,
        message: str,
        *,
        allowed: str | None = None,
        nearest: str | None = None,
        show_value: bool = True,
        involves: Sequence[str] = (),
    ) -> None:
        """Note a problem where the key is written; not if the key, or one that it `involves`, is bad already."""
        if (path and not self.ok(*path)) or not all(self.ok(*other.split(".")) for other in involves):
            return
        source, full, value = self._find(path)
        if full[0] == "defaults" and any(self.written_here(*other.split(".")) for other in involves):
            message = f"{message} (in worker.{self.name})"
        if value is ABSENT or not show_value:
            self._report.add(source, full, message, allowed=allowed, nearest=nearest)
        else:
            self._report.add(source, full, message, value=value, allowed=allowed, nearest=nearest)

    def _find(self, path: Path) -> tuple[Source, Path, Any]:
        for source, prefix in self._places:
            full = (*prefix, *path)
            value = source.get(full)
            if value is not ABSENT:
                return source, full, value
        source, prefix = self._places[0]
        return source, (*prefix, *path), ABSENT
