"""What an exit means."""

import msgspec
import pytest

from supervisor.policy.restart import (
    READY_TIMEOUT,
    Rules,
    State,
    Status,
    Verdict,
    complete_exit,
    describe,
    is_clean,
    verdict,
)
from supervisor.policy.verdict import signal_name
from supervisor.spec.records import Cause, ExitRecord


def code(number: int, *, clean: bool = False) -> ExitRecord:
    return ExitRecord(1, "exit", 0.0, code=number, clean=clean)


def death(name: str, *, clean: bool = False) -> ExitRecord:
    return ExitRecord(1, "signal", 0.0, signal=name, clean=clean)


def other(cause: Cause) -> ExitRecord:
    return ExitRecord(1, cause, 0.0)


CLEAN, CODE, SIGNAL = code(0, clean=True), code(3), death("SIGSEGV")
SETUP, TIMEOUT, UNKNOWN = other("setup"), other("setup-timeout"), other("unknown")


@pytest.mark.parametrize(
    ("policy", "restarted"),
    [
        ("never", []),
        ("on-failure", [CODE, SIGNAL, SETUP, TIMEOUT, UNKNOWN]),
        ("on-abnormal", [SIGNAL, SETUP, TIMEOUT, UNKNOWN]),
        ("always", [CLEAN, CODE, SIGNAL, SETUP, TIMEOUT, UNKNOWN]),
    ],
)
def test_policies(policy: str, restarted: list[ExitRecord]) -> None:
    rules = Rules(policy=policy)  # type: ignore[arg-type]
    for record in (CLEAN, CODE, SIGNAL, SETUP, TIMEOUT, UNKNOWN):
        given_up = Verdict.COMPLETE if record is CLEAN else Verdict.FAIL
        expected = Verdict.RESTART if record in restarted else given_up
        assert verdict(record, rules, timed_out=False) is expected, record


def test_what_was_stopped_as_unhealthy_failed_for_that_however_it_ended() -> None:
    status = Status(state=State.STOPPING, wanted=True, requested_by="unhealthy", unhealthy="HTTP 503")
    rules = Rules(success_exit=(0, "SIGTERM"), never_after=(0,))
    for record in (CLEAN, death("SIGTERM"), death("SIGKILL")):
        found = complete_exit(status, record, rules)
        assert (found.cause, found.probe, found.requested_by, found.clean) == ("unhealthy", "HTTP 503", None, False)
        assert (found.code, found.signal) == (record.code, record.signal)
        assert verdict(found, rules, timed_out=False) is Verdict.RESTART
        assert verdict(found, Rules(policy="on-abnormal"), timed_out=False) is Verdict.RESTART
        assert verdict(found, Rules(policy="never"), timed_out=False) is Verdict.FAIL
        assert describe(found) == "unhealthy: HTTP 503"
    assert complete_exit(status, UNKNOWN, rules).cause == "unknown"


def test_never_after_comes_before_always_after_which_comes_before_the_policy() -> None:
    both = Rules(policy="always", never_after=(3, "SIGSEGV"), always_after=(3, "SIGSEGV"))
    assert verdict(CODE, both, timed_out=False) is Verdict.FAIL
    assert verdict(SIGNAL, both, timed_out=False) is Verdict.FAIL
    assert verdict(code(4), both, timed_out=False) is Verdict.RESTART
    always_after = Rules(policy="never", always_after=(0, "segv"))
    assert verdict(CLEAN, always_after, timed_out=False) is Verdict.RESTART
    assert verdict(SIGNAL, always_after, timed_out=False) is Verdict.RESTART
    assert verdict(CODE, always_after, timed_out=False) is Verdict.FAIL
    assert verdict(CLEAN, Rules(policy="always", never_after=(0,)), timed_out=False) is Verdict.COMPLETE


def test_a_ready_timeout_is_an_abnormal_end_however_it_ended() -> None:
    assert verdict(CLEAN, Rules(policy="on-abnormal"), timed_out=True) is Verdict.RESTART
    assert verdict(CLEAN, Rules(policy="never"), timed_out=True) is Verdict.FAIL
    assert verdict(CLEAN, Rules(policy="always", never_after=(0,)), timed_out=True) is Verdict.FAIL


@pytest.mark.parametrize(
    ("record", "sent", "clean"),
    [
        (code(0), False, True),
        (code(3), True, False),
        (code(7), False, True),
        (death("SIGUSR1"), False, True),
        (death("SIGINT"), False, False),
        (death("SIGINT"), True, True),
        (code(130), False, False),
        (code(130), True, True),
        (death("SIGKILL"), True, False),
        (other("setup"), True, False),
        (other("unknown"), True, False),
    ],
)
def test_clean(record: ExitRecord, sent: bool, clean: bool) -> None:
    rules = Rules(success_exit=(7, "USR1"), stop_signal="SIGINT")
    assert is_clean(record, rules, stop_signal_sent=sent) is clean


def test_a_stop_signal_that_python_has_no_number_for() -> None:
    rules = Rules(stop_signal="SIGRTMIN+3")
    assert is_clean(death("SIGRTMIN+3"), rules, stop_signal_sent=True)
    assert not is_clean(code(165), rules, stop_signal_sent=True)


@pytest.mark.parametrize(
    ("status", "record", "requested_by", "clean"),
    [
        (Status(state=State.READY), death("SIGTERM"), None, False),
        (Status(state=State.STOPPING, requested_by="op"), death("SIGTERM"), "op", True),
        (Status(state=State.UNKILLABLE, requested_by="op"), death("SIGKILL"), "op", False),
        (Status(state=State.STOPPING, requested_by=READY_TIMEOUT), death("SIGTERM"), READY_TIMEOUT, False),
        (Status(state=State.STOPPING, requested_by=READY_TIMEOUT), code(0), READY_TIMEOUT, False),
        (Status(state=State.READY, requested_by="op", kill_signal="SIGTERM"), death("SIGTERM"), "op", False),
        (Status(state=State.READY, requested_by="op", kill_signal="SIGINT"), code(1), "op", False),
        (Status(state=State.READY, requested_by="op", kill_signal="SIGHUP"), code(1), None, False),
        (Status(state=State.READY, requested_by="op", kill_signal="SIGHUP"), death("SIGHUP"), "op", False),
        (Status(state=State.STOPPING, requested_by="op", kill_signal="SIGHUP"), code(1), "op", False),
    ],
)
def test_who_asked_for_an_exit_and_whether_it_was_clean(
    status: Status, record: ExitRecord, requested_by: str | None, clean: bool
) -> None:
    found = complete_exit(status, record, Rules())
    assert (found.requested_by, found.clean) == (requested_by, clean)


def test_a_signal_that_is_the_stop_signal_ends_the_worker_by_intent() -> None:
    status = Status(state=State.READY, requested_by="op", kill_signal="SIGUSR2")
    assert complete_exit(status, code(0), Rules(stop_signal="SIGUSR2")).requested_by == "op"
    assert complete_exit(status, code(0), Rules()).requested_by is None


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (code(3), "exit code 3"),
        (death("SIGSEGV"), "signal SIGSEGV"),
        (ExitRecord(1, "setup", 0.0, phase="mount.bind", errno="ENOENT"), "set-up failed in mount.bind (ENOENT)"),
        (other("setup"), "set-up failed in an unknown phase"),
        (ExitRecord(1, "setup-timeout", 0.0, phase="mount.bind"), "set-up timed out in mount.bind"),
        (other("interrupted"), "set-up interrupted"),
        (other("unknown"), "exit status unknown"),
    ],
)
def test_describe(record: ExitRecord, words: str) -> None:
    assert describe(record) == words
    assert describe(record, timed_out=True) == "did not become ready in time"


def test_signal_names() -> None:
    assert {signal_name(name) for name in ("TERM", "SIGTERM", "sigterm", "term")} == {"SIGTERM"}


def test_out_of_memory_is_a_failure_however_it_ended() -> None:
    """Also where SIGKILL, or 137, would count as clean."""
    killed = msgspec.structs.replace(death("SIGKILL"), oom_killed=True)
    shell = msgspec.structs.replace(code(137), oom_killed=True)
    tolerant = Rules(success_exit=(137, "SIGKILL"), policy="on-abnormal")
    for record in (killed, shell):
        assert not is_clean(record, tolerant, stop_signal_sent=True)
        assert verdict(record, tolerant, timed_out=False) is Verdict.RESTART
        assert describe(record) == "out of memory"
    assert is_clean(code(137), tolerant, stop_signal_sent=False)
