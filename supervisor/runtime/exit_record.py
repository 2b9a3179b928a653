"""How an incarnation ended, as the record that its instance keeps."""

import signal
import time

from msgspec.structs import replace

from supervisor.runtime.cgroup import Cgroup, Figures, with_figures
from supervisor.runtime.exit_status import ExitStatus, signal_name
from supervisor.runtime.setup_record import SetupRecord
from supervisor.runtime.sigsys import explain_sigsys
from supervisor.sandbox.plan import Plan
from supervisor.spec.facts import HostFacts
from supervisor.spec.records import Cause, ExitRecord


def failed_launch(record: SetupRecord, stderr_tail: tuple[str, ...], *, doomed: bool = False) -> ExitRecord:
    """It never was: the phase that failed. doomed: it was to be killed meanwhile, so nobody has to look for who did."""
    failure = record.failure
    as_asked = doomed and failure is not None and failure.errno == "SIGKILL"
    return ExitRecord(
        incarnation=record.incarnation,
        cause="setup-timeout" if failure is not None and failure.outcome == "pending" else "setup",
        ended_at=time.time(),
        phase=failure.phase if failure else None,
        errno=failure.errno if failure else None,
        hint=failure.hint if failure and not as_asked else None,
        stderr_tail=stderr_tail,
    )


def at_once(
    number: int, status: ExitStatus | None, exec_at: float | None, network_failed: str | None, cgroup: Cgroup | None
) -> ExitRecord:
    """It has run, and the policy is to decide now: what that needs to know, before all else is found out."""
    record = _of(number, status, exec_at, network_failed, ())
    died = record.signal == "SIGKILL" or record.code == 128 + signal.SIGKILL
    return with_figures(record, cgroup.figures()) if died and cgroup is not None else record


async def ended(
    number: int,
    status: ExitStatus | None,
    exec_at: float | None,
    network_failed: str | None,
    stderr_tail: tuple[str, ...],
    plan: Plan | None,
    facts: HostFacts,
) -> ExitRecord:
    """It has run. exec_at: CLOCK_MONOTONIC; network_failed: why it was killed; plan: None where it was adopted."""
    record = _of(number, status, exec_at, network_failed, stderr_tail)
    if record.signal == "SIGSYS":
        call, hint = await explain_sigsys(record.ended_at, plan, facts)
        record = replace(record, syscall=call, hint=hint)
    return record


def _of(
    number: int,
    status: ExitStatus | None,
    exec_at: float | None,
    network_failed: str | None,
    stderr_tail: tuple[str, ...],
) -> ExitRecord:
    cause: Cause = "unknown" if status is None or not status.is_known else "signal" if status.signal else "exit"
    if status is not None and network_failed is not None:
        cause = "network"
    return ExitRecord(
        incarnation=number,
        cause=cause,
        ended_at=time.time(),
        uptime_s=time.monotonic() - exec_at if exec_at is not None else 0.0,
        code=status.code if status else None,
        signal=status.signal if status else None,
        core_dumped=status.core_dumped if status else False,
        reason=network_failed,
        stderr_tail=stderr_tail,
    )


def below_static_init(record: ExitRecord) -> ExitRecord:
    """Such a PID 1 says 128 + n of a signal, and of a program's own code of that number, too."""
    if record.cause != "exit" or record.code is None or not 128 < record.code <= 128 + signal.SIGRTMAX:
        return record
    return replace(record, or_signal=signal_name(record.code - 128))


def with_usage(record: ExitRecord, status: ExitStatus | None, figures: Figures) -> ExitRecord:
    """With what it has used, by its first process's status and by its cgroup."""
    if status is not None:
        record = replace(record, rusage=status.rusage)
    return with_figures(record, figures)
