"""Limits, processors and priorities, as they may be written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.spec import limit_forms
from supervisor.spec.forms import FormError
from supervisor.spec.limit_forms import cpu_list, format_cpus, io_priority, parse_cpus, scheduling


@pytest.mark.parametrize(
    ("form", "written", "normal"),
    [
        ("count_limit", 5, 5),
        ("count_limit", "5", 5),
        ("count_limit", "unlimited", "unlimited"),
        ("count_limit", "1024:4096", "1024:4096"),
        ("count_limit", " 0 : unlimited ", "0:unlimited"),
        ("size_limit", "64KiB", 65536),
        ("size_limit", "1kB:1MB", "1000:1000000"),
        ("time_limit", "1m:1h", "60:3600"),
        ("microsecond_limit", "950ms", 950_000),
        ("microsecond_limit", 950, 950),
        ("scheduling", "FIFO:07", "fifo:7"),
        ("scheduling", "batch", "batch"),
        ("io_priority", "best-effort", "best-effort:4"),
        ("io_priority", "realtime:0", "realtime:0"),
        ("cpu_list", "5, 0-3,2", "0-3,5"),
        ("cpu_list", (3, 1, 2), "1-3"),
    ],
)
def test_normal_forms(form: str, written: object, normal: object) -> None:
    assert getattr(limit_forms, form)(written) == normal


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("count_limit", -1),
        ("count_limit", 2**63),
        ("count_limit", "1:2:3"),
        ("count_limit", "5:4"),
        ("count_limit", "unlimited:4"),
        ("count_limit", ""),
        ("count_limit", "1:"),
        ("count_limit", "1KiB"),
        ("size_limit", "1.5B"),
        ("time_limit", "100ms"),
        ("scheduling", "rr"),
        ("scheduling", "rr:100"),
        ("scheduling", "idle:1"),
        ("io_priority", "idle:1"),
        ("io_priority", "none"),
        ("cpu_list", ""),
        ("cpu_list", "1-"),
        ("cpu_list", "2-1"),
        ("cpu_list", "99999"),
        ("cpu_list", ()),
        ("cpu_list", (-1,)),
    ],
)
def test_what_is_refused(form: str, written: object) -> None:
    with pytest.raises(FormError):
        getattr(limit_forms, form)(written)


@given(st.sets(st.integers(0, limit_forms.LARGEST_CPU), min_size=1))
def test_lists_of_processors_come_back(cpus: set[int]) -> None:
    assert parse_cpus(format_cpus(cpus)) == cpus
    assert cpu_list(tuple(cpus)) == cpu_list(format_cpus(cpus)) == format_cpus(cpus)


@given(st.text(max_size=20))
def test_anything_is_taken_or_refused(text: str) -> None:
    for form in (cpu_list, scheduling, io_priority, limit_forms.count_limit, limit_forms.size_limit):
        try:
            normal = form(text)
        except FormError:
            continue
        assert form(normal) == normal  # type: ignore[arg-type]
