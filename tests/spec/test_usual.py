"""What a launch is compared with."""

import msgspec
import pytest

from supervisor.spec.records import LaunchRecord, PhaseRecord, Timings, Usual
from supervisor.spec.usual import KEPT, usual, with_launch


def launch(*durations_us: int, outcome: str = "ok", names: str = "clone ns.mount exec") -> LaunchRecord:
    phases = tuple(
        PhaseRecord(name, "", "ok", 0, duration_us)
        for name, duration_us in zip(names.split(), durations_us, strict=False)
    )
    whole = LaunchRecord("web", 1, 0.0, sum(durations_us), "ok", phases)
    return msgspec.structs.replace(whole, outcome=outcome)


def after(*launches: LaunchRecord) -> Timings:
    timings = Timings()
    for one in launches:
        timings = with_launch(timings, one)
    return timings


def test_medians_of_those_before_the_last() -> None:
    last = launch(900, 900, 900)
    timings = after(launch(1, 20, 300), launch(3, 10, 200), launch(2, 30, 100), last)
    assert usual(last, timings) == Usual(3, 213, (2, 20, 200))


def test_one_that_failed_is_compared_as_far_as_it_came() -> None:
    timings = after(launch(1, 20, 300))
    assert usual(launch(5, 5, outcome="failed"), timings) == Usual(1, 321, (1, 20))
    other = launch(5, 5, outcome="failed", names="clone ns.uts")
    assert usual(other, timings) == Usual(1, 321, (1,))


@pytest.mark.parametrize(
    ("last", "timings"),
    [
        (launch(1, 2, 3), Timings()),
        (launch(1, 2, 3), after(launch(1, 2, 3))),
        (launch(1, 2, names="clone exec"), after(launch(1, 2, 3), launch(1, 2, names="clone exec"))),
        (launch(1, outcome="failed", names="ns.join"), after(launch(1, 2, 3))),
        (launch(1, outcome="failed"), Timings(("clone",), (b"odd", b""))),
    ],
    ids=["nothing", "itself only", "other phases", "other first phase", "spoilt file"],
)
def test_nothing_to_compare_with(last: LaunchRecord, timings: Timings) -> None:
    assert usual(last, timings) is None


def test_it_is_bounded_and_survives_a_file() -> None:
    timings = after(*(launch(number, number, 2**40) for number in range(30)))
    assert len(timings.rows) == KEPT
    again = msgspec.json.decode(msgspec.json.encode(timings), type=Timings)
    assert again == timings
    assert usual(launch(0, 0, 0, outcome="failed"), again) == Usual(11, 2**32 - 1, (24, 24, 2**32 - 1))
