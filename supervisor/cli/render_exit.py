"""How an incarnation ended, in words. Pure."""

from collections.abc import Callable
from signal import Signals

from supervisor.cli import words
from supervisor.spec.records import ExitRecord

TRY = " Try: "  # between the sentence and the command of a hint
READY_TIMEOUT = "ready-timeout"


def how(record: ExitRecord) -> str:
    """How it ended, as a clause: "it …"."""
    ran = f" after {words.span(record.uptime_s)}"
    if record.oom_killed and record.cause in ("exit", "signal"):
        figures = [
            f"{name} {words.size(value)}"
            for name, value in (("limit", record.memory_max_bytes), ("peak", record.memory_peak_bytes))
            if value is not None
        ]
        known = f" ({', '.join(figures)})" if figures else ""
        return f"it ran out of memory{known} and was killed{ran}"
    if record.requested_by == READY_TIMEOUT:
        return f"it was not ready in time and was stopped{ran}{_status(record)}{_seen(record)}"
    match record.cause:
        case "exit":
            if record.or_signal:
                either = f'(or was killed by {record.or_signal}: init = "static" cannot tell)'
                return f"it exited with code {record.code} {either}{ran}"
            return f"it exited with code {record.code}{_shell_signal(record.code)}{ran}"
        case "signal":
            call = f" for the system call {record.syscall}" if record.syscall else ""
            core = " and left a core dump" if record.core_dumped else ""
            return f"it was killed by {record.signal}{call}{ran}{core}"
        case "unhealthy":
            return f"it was unhealthy and was stopped{ran}{_status(record)}{_seen(record)}"
        case "network":
            return f"it was killed{ran}: {record.reason or 'what connected its network had ended'}"
        case "setup" if record.requested_by is not None and record.errno == "SIGKILL":
            return f"it was stopped while its sandbox was built, in {record.phase or 'set-up'}"
        case "setup":
            errno = f" with {record.errno}" if record.errno else ""
            return f"its sandbox could not be built: {record.phase or 'set-up'} failed{errno}"
        case "setup-timeout":
            return f"its sandbox was not built in time: {record.phase or 'set-up'} hung"
        case "interrupted":
            return "its daemon died while the sandbox was built"
        case _:
            return "how it ended is unknown, since its keeper was gone"


def exit_lines(record: ExitRecord, clock: Callable[[float], str]) -> list[str]:
    """One exit of several, with who asked for it and what it used."""
    clause = how(record).removeprefix("it ")
    by = record.requested_by if record.requested_by != READY_TIMEOUT else None
    asked = f", asked for by {by}" if by else ""
    clean = ", clean" if record.clean else ""
    line = f"  #{record.incarnation}  {clock(record.ended_at)}  {clause}{asked}{clean}"
    if record.rusage is not None:
        usage = record.rusage
        line += f" (CPU {usage.user_s + usage.system_s:.2f}s, at most {words.size(usage.max_rss_bytes)} resident)"
    return [line]


def hint_lines(hint: str | None) -> list[str]:
    """A hint as a sentence and a command below it."""
    if not hint:
        return []
    sentence, _, command = hint.partition(TRY)
    return [f"  {sentence}", *([f"  try: {command}"] if command else [])]


def _shell_signal(code: int | None) -> str:
    """What a shell says by a code over 128: 137 stands for SIGKILL."""
    try:
        return f" (as shells report {Signals(code - 128).name})" if code is not None and code > 128 else ""
    except ValueError:
        return ""


def _status(record: ExitRecord) -> str:
    if record.signal is not None:
        return f" (killed by {record.signal})"
    return f" (code {record.code})" if record.code is not None else ""


def _seen(record: ExitRecord) -> str:
    return f"; its probe saw: {record.probe}" if record.probe else ""
