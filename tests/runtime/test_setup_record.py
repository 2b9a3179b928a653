import time

import pytest

from supervisor.runtime.exit_record import failed_launch
from supervisor.runtime.setup_record import SetupRecord
from supervisor.sandbox.hints import SETUP_TIMEOUT
from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.plan import Plan, Step
from supervisor.spec.facts import HostFacts

STEPS = ("clone", "id.map", "mount.proc", "exec")


@pytest.fixture
def record() -> SetupRecord:
    plan = Plan("web", tuple(Step(name, f"of {name}") for name in STEPS), (), True, True, (), ())
    facts = HostFacts(uid=1000, gid=1000, user="u", home="/home/u", privileged=False, view=())
    return SetupRecord(plan, 3, facts)


def frame(record: SetupRecord, index: int, outcome: str = "ok", number: int = 0) -> list[str]:
    begun = record.requested_ns + index * 10_000_000
    return [str(index), str(begun), str(begun + 5_000_000), outcome, str(number), "mount" if number else "", "words"]


def test_a_success(record: SetupRecord) -> None:
    phases = record.frame(["phases", *frame(record, 0), *frame(record, 1, "skipped"), *frame(record, 2)])
    assert [(one.phase, one.outcome, one.start_us, one.duration_us) for one in phases] == [
        ("clone", "ok", 0, 5000),
        ("id.map", "skipped", 10_000, 5000),
        ("mount.proc", "ok", 20_000, 5000),
    ]
    assert record.finished().outcome == "interrupted"
    record.frame(["exec", "3", str(record.requested_ns + 40_000_000)])
    whole = record.finished()
    assert (whole.instance, whole.incarnation, whole.outcome, whole.duration_us) == ("web", 3, "ok", 40_000)
    assert [one.phase for one in whole.phases] == list(STEPS)


def test_a_failure_has_its_errno_and_hint(record: SetupRecord) -> None:
    record.frame(["phases", *frame(record, 0), *frame(record, 1), *frame(record, 2, "failed", 1)])
    assert record.failure is not None
    assert (record.failure.phase, record.failure.errno, record.failure.syscall) == ("mount.proc", "EPERM", "mount")
    assert record.failure.hint
    assert record.finished().outcome == "failed"


def test_an_execve_that_came_back_replaces_the_frame_that_announced_it(record: SetupRecord) -> None:
    record.frame(["phases", *frame(record, 0), *frame(record, 1), *frame(record, 2)])
    record.frame(["exec", "3", str(time.monotonic_ns())])
    record.frame(["phases", *frame(record, 3, "failed", 2)])
    assert record.handed_over_ns is None
    assert [(one.phase, one.outcome) for one in record.finished().phases][-2:] == [
        ("mount.proc", "ok"),
        ("exec", "failed"),
    ]


@pytest.mark.parametrize(
    ("name", "outcome", "whole"), [(SETUP_TIMEOUT, "pending", "timeout"), ("SIGKILL", "failed", "failed")]
)
def test_the_phase_that_was_not_ended_is_named(record: SetupRecord, name: str, outcome: str, whole: str) -> None:
    record.frame(["phases", *frame(record, 0)])
    failure = record.fail_unfinished(errno_name=name, message="over")
    assert (failure.phase, failure.outcome, failure.start_us) == ("id.map", outcome, 5000)
    assert record.finished().outcome == whole


def test_a_time_out_in_execve_is_that_of_exec(record: SetupRecord) -> None:
    record.frame(["phases", *frame(record, 0), *frame(record, 1), *frame(record, 2)])
    record.frame(["exec", "3", str(time.monotonic_ns())])
    assert record.fail_unfinished(errno_name=SETUP_TIMEOUT, message="over").phase == "exec"
    assert [one.phase for one in record.phases] == list(STEPS)


def test_a_plan_that_could_not_be_made(record: SetupRecord) -> None:
    failure = record.fail_plan(PlanError("id.map", "EPERM", "/etc/subuid", "no line"))
    assert (failure.phase, failure.errno, failure.message) == ("id.map", "EPERM", "no line")
    assert record.finished().outcome == "failed"


def test_who_was_killed_on_purpose_is_not_looked_for(record: SetupRecord) -> None:
    record.frame(["phases", *frame(record, 0)])
    record.fail_unfinished(errno_name="SIGKILL", message="the process died of SIGKILL")
    by_somebody, on_purpose = failed_launch(record, ()), failed_launch(record, (), doomed=True)
    assert by_somebody.hint
    assert on_purpose.hint is None
    assert (on_purpose.phase, on_purpose.errno) == ("id.map", "SIGKILL")


def test_the_time_for_which_a_standby_was_held_is_in_no_duration() -> None:
    steps = tuple(Step(name) for name in ("clone", "standby.wait", "lock.seccomp", "exec"))
    facts = HostFacts(uid=1000, gid=1000, user="u", home="/home/u", privileged=False, view=())
    record = SetupRecord(Plan("web", steps, (), True, True, (), ()), 3, facts)
    begun, held_ns = record.requested_ns, 3_600_000_000_000
    record.frame(["phases", "0", str(begun), str(begun + 5_000_000), "ok", "0", "", ""])
    waited = ["1", str(begun + 6_000_000), str(begun + 6_000_000 + held_ns), "ok", "0", "", ""]
    filtered = ["2", str(begun + 7_000_000 + held_ns), str(begun + 8_000_000 + held_ns), "ok", "0", "", ""]
    record.frame(["phases", *waited, *filtered])
    record.frame(["exec", "3", str(begun + 9_000_000 + held_ns)])
    whole = record.finished()
    assert (whole.duration_us, whole.ahead_us, whole.held_s) == (9000, 6000, 3600.0)
    assert [(one.start_us, one.duration_us) for one in whole.phases] == [(0, 5000), (6000, 0), (7000, 1000), (9000, 0)]
    assert "3600.000 s" in (whole.phases[1].message or "")
