"""What is wrong with a configuration: every problem of a load, together."""

from collections.abc import Iterable

import msgspec


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong, at one place."""

    file: str
    line: int | None  # None: the file as a whole
    key: str  # "worker.api.restart.policy"; "" where no key is concerned
    message: str
    value: str | None = None  # as TOML would write it
    allowed: str | None = None
    nearest: str | None = None

    def __str__(self) -> str:
        """FILE:LINE: KEY = VALUE: MESSAGE; allowed: ALLOWED; did you mean NEAREST?"""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        subject = self.key if self.value is None else f"{self.key} = {self.value}" if self.key else self.value
        text = f"{place}: {subject}: {self.message}" if subject else f"{place}: {self.message}"
        if self.allowed is not None:
            text += f"; allowed: {self.allowed}"
        if self.nearest is not None:
            text += f"; did you mean {self.nearest}?"
        return text


class ConfigError(Exception):
    """The configuration cannot be used. One line per problem, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)
