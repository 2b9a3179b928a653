"""Problems as they are found, so that a load can tell all of them."""

from collections.abc import Iterable
from typing import Any

from supervisor.spec.errors import ConfigError, Problem
from supervisor.spec.locate import Path
from supervisor.spec.show import show
from supervisor.spec.source import Source

_MISSING = object()


class Report:
    """Collects problems of all files, and remembers which keys are no longer worth a second complaint."""

    def __init__(self) -> None:
        self._problems: dict[Problem, None] = {}
        self._files: dict[str, int] = {}
        self._bad: dict[tuple[int, Path], list[Path]] = {}  # by source and first two keys, to keep look-ups short

    def __bool__(self) -> bool:
        return bool(self._problems)

    def read_file(self, file: str) -> None:
        """Note the order of files: problems are told in it."""
        self._files.setdefault(file, len(self._files))

    def extend(self, problems: Iterable[Problem]) -> None:
        """Take over problems found elsewhere."""
        self._problems.update(dict.fromkeys(problems))

    def add(
        self,
        source: Source,
        path: Path,
        message: str,
        *,
        value: Any = _MISSING,
        allowed: str | None = None,
        nearest: str | None = None,
    ) -> None:
        """Note a problem at a key. The same one twice is one."""
        shown = None if value is _MISSING else show(value)
        self._problems[source.problem(path, message, value=shown, allowed=allowed, nearest=nearest)] = None
        self._bad.setdefault((id(source), path[:2]), []).append(path)

    def is_bad(self, source: Source, path: Path) -> bool:
        """Whether there is a problem at, above or below this key."""
        return any(
            path[: len(other)] == other[: len(path)]
            for start in (path[:1], path[:2])
            for other in self._bad.get((id(source), start), ())
        )

    def raise_if_any(self) -> None:
        """ConfigError with all that was noted, in the order of files and lines."""
        if self._problems:
            raise ConfigError(sorted(self._problems, key=self._order))

    def _order(self, problem: Problem) -> tuple[int, int]:
        return self._files.get(problem.file, len(self._files)), problem.line or 0
