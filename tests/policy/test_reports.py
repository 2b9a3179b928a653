"""What the policy reports is what the list of events says."""

import pytest

from supervisor.policy.reports import REPORTS
from supervisor.policy.restart import Report
from supervisor.telemetry.events import EVENTS
from tests.policy.examples import EXAMPLES

REPORTED = [action for example in EXAMPLES for action in example.actions if isinstance(action, Report)]


@pytest.mark.parametrize("name", sorted({report.event for report in REPORTED}))
def test_name_level_and_fields(name: str) -> None:
    for report in REPORTED:
        if report.event == name:
            assert report.level in EVENTS[name].levels
            assert set(report.fields) <= set(EVENTS[name].fields)


def test_the_examples_show_every_report() -> None:
    names = {name.removeprefix("report ").split()[0] for name in REPORTS} | {"worker.backoff"}
    assert {report.event for report in REPORTED} == names
