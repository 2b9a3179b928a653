"""Samples taken in rounds, ratios within the rounds, targets, and how they are printed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Samples = dict[str, list[float | None]]  # of each peer, one for each round; None: it failed in that round
FLOOR = "C floor"
OURS = "nsvisor"


@dataclass
class Target:
    """What is aimed at: a figure and its limit."""

    what: str
    found: float
    limit: float
    unit: str = "×"
    at_least: bool = False

    @property
    def reached(self) -> bool:
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    def __str__(self) -> str:
        bound = "≥" if self.at_least else "≤"
        return f"{self.what}: {self.found:.3g} {self.unit}, aim {bound} {self.limit:g}: {self.verdict}"

    @property
    def verdict(self) -> str:
        return "reached" if self.reached else "MISSED"


@dataclass
class Report:
    """One table."""

    name: str
    title: str
    unit: str
    samples: Samples
    base: str = FLOOR
    targets: list[Target] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def aim(self, what: str, peer: str, other: str, limit: float, *, at_least: bool = False) -> None:
        """A target for the ratio of two peers. Where one is not there, a note says so."""
        found = ratio(self.samples, peer, other)
        if found is None:
            self.notes.append(f"not compared: {what}")
        else:
            self.targets.append(Target(what, found, limit, at_least=at_least))

    def rows(self) -> list[tuple[str, int, float, float, float | None]]:
        """Peer, how many samples, median, least, ratio to the base; the best median first."""
        found = []
        for peer, values in self.samples.items():
            taken = [value for value in values if value is not None]
            if taken:
                found.append((peer, len(taken), median(taken), min(taken), ratio(self.samples, peer, self.base)))
        return sorted(found, key=lambda row: row[2])

    def show(self) -> None:
        """Print it."""
        print(f"\n{self.title}")
        print(f"  {'':<58}{'n':>4}{'median, ' + self.unit:>22}{'least':>10}{self.base and '× ' + self.base:>18}")
        for peer, count, middle, least, times in self.rows():
            ratio_text = "" if times is None else f"{times:.2f}"
            print(f"  {peer:<58}{count:>4}{middle:>22.3g}{least:>10.3g}{ratio_text:>18}")
        for target in self.targets:
            print(f"  -> {target}")
        for note in self.notes:
            print(f"  ({note})")


def median(values: Sequence[float]) -> float:
    """The middle one, or the mean of the two."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def ratio(samples: Mapping[str, Sequence[float | None]], peer: str, other: str) -> float | None:
    """Median of the ratios within each round, so that a noisy moment hits both sides."""
    pairs = zip(samples.get(peer, ()), samples.get(other, ()), strict=False)
    ratios = [one / two for one, two in pairs if one is not None and two]
    return median(ratios) if ratios else None
