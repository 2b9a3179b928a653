"""What an exit means: whether it was clean, and what the policy makes of it."""

import signal as signals
from enum import Enum

from msgspec.structs import replace

from supervisor.policy.rules import Rules
from supervisor.policy.states import State, Status
from supervisor.spec.model import ExitName
from supervisor.spec.records import ExitRecord

UNHEALTHY = "unhealthy"  # status.requested_by of a worker stopped for what its probe saw; in its record the cause
READY_TIMEOUT = "ready-timeout"  # requested_by of a worker stopped because it did not become ready

# After one of these an exit is put down to whoever sent it; after others (SIGHUP, SIGUSR1) only a death by that signal.
ENDING_SIGNALS = frozenset({"SIGTERM", "SIGINT", "SIGQUIT", "SIGABRT", "SIGKILL"})


class Verdict(Enum):
    """What the policy says to an exit that nobody asked for."""

    RESTART = "restart"
    COMPLETE = "complete"
    FAIL = "fail"


def signal_name(name: str) -> str:
    """SIGTERM for TERM, sigterm and SIGTERM."""
    upper = name.upper()
    return upper if upper.startswith("SIG") else f"SIG{upper}"


def matches(record: ExitRecord, names: tuple[ExitName, ...]) -> bool:
    """Whether one of the names (exit codes, signal names) is how it ended."""
    by_signal = record.signal if record.cause == "signal" else record.or_signal
    if record.cause == "exit" and record.code in names:
        return True
    if record.cause in ("exit", "signal") and by_signal is not None:
        return signal_name(by_signal) in {signal_name(name) for name in names if isinstance(name, str)}
    return False


def is_clean(record: ExitRecord, rules: Rules, *, stop_signal_sent: bool) -> bool:
    """Whether it ended well: 0, `success_exit`, or by the stop signal that we sent (128+n, as a shell tells it)."""
    if record.oom_killed:
        return False
    if record.cause == "exit" and record.code == 0:
        return True
    if matches(record, rules.success_exit):
        return True
    if not stop_signal_sent:
        return False
    name = signal_name(rules.stop_signal)
    number = signals.Signals.__members__.get(name)
    by_shell = () if number is None else (128 + number,)
    return matches(record, (name, *by_shell))


def complete_exit(status: Status, record: ExitRecord, rules: Rules) -> ExitRecord:
    """Fill in `requested_by` and `clean`, from the status before the exit. A ready time-out is never clean.

    Of a worker that was stopped because it was unhealthy, that is the cause, and nobody's request.
    """
    stopping = status.state in {State.STOPPING, State.UNKILLABLE}
    requested_by = status.requested_by
    sent = status.kill_signal
    if not stopping and sent is not None and sent not in ENDING_SIGNALS | {signal_name(rules.stop_signal)}:
        requested_by = requested_by if record.signal == sent else None
    if requested_by == UNHEALTHY:
        cause = "unhealthy" if record.cause in ("exit", "signal") else record.cause
        return replace(record, cause=cause, probe=status.unhealthy, requested_by=None, clean=False)
    timed_out = requested_by == READY_TIMEOUT
    clean = not timed_out and is_clean(record, rules, stop_signal_sent=stopping)
    return replace(record, requested_by=requested_by, clean=clean)


def verdict(record: ExitRecord, rules: Rules, *, timed_out: bool) -> Verdict:
    """What the policy says. never_after comes before always_after, and both before the policy.

    `timed_out`: it was stopped because it did not become ready, which is a failure however it ended.
    """
    clean = record.clean and not timed_out
    if matches(record, rules.never_after):
        return Verdict.COMPLETE if clean else Verdict.FAIL
    if matches(record, rules.always_after) or rules.policy == "always":
        return Verdict.RESTART
    if clean:
        return Verdict.COMPLETE
    if rules.policy == "never":
        return Verdict.FAIL
    abnormal = timed_out or record.oom_killed or record.cause != "exit"
    return Verdict.RESTART if rules.policy == "on-failure" or abnormal else Verdict.FAIL


def describe(record: ExitRecord, *, timed_out: bool = False) -> str:
    """Say in a few words how it ended: "exit code 3", "signal SIGSEGV", "set-up failed in mount.bind (ENOENT)"."""
    if timed_out:
        return "did not become ready in time"
    match record.cause:
        case _ if record.oom_killed and record.cause in ("exit", "signal"):
            return "out of memory"
        case "exit":
            either = f' (or killed by {record.or_signal}: init = "static" cannot tell)' if record.or_signal else ""
            return f"exit code {record.code}{either}"
        case "signal":
            return f"signal {record.signal}" + (f" in {record.syscall}" if record.syscall else "")
        case "network":
            return "network gone"
        case "unhealthy":
            return f"unhealthy: {record.probe}" if record.probe else "unhealthy"
        case "setup":
            errno = f" ({record.errno})" if record.errno else ""
            return f"set-up failed in {record.phase or 'an unknown phase'}{errno}"
        case "setup-timeout":
            return f"set-up timed out in {record.phase or 'an unknown phase'}"
        case "interrupted":
            return "set-up interrupted"
        case "unknown":
            return "exit status unknown"
