"""Every event that is ever published: its name, levels, one line, its fields. docs/reference/events.md is made of it.

Names are constant and of the form `noun.verb`; everything variable is a field, with its unit in the field's name.
"""

from functools import cache
from typing import NamedTuple

# Never change it: the journal's MESSAGE_IDs are made of it, and people filter by them.
_MESSAGE_IDS = "6e6f7d1c-6f1b-4b6c-9a53-1d0f0a7c5e21"


class EventType(NamedTuple):
    """One kind of event."""

    levels: tuple[str, ...]  # the usual one first
    text: str
    fields: tuple[str, ...]


DEBUG, INFO, WARNING, ERROR = ("debug",), ("info",), ("warning",), ("error",)
INSTANCE = ("worker", "instance", "incarnation")

EVENTS = {
    "daemon.started": EventType(INFO, "the daemon has read its configuration", ("version", "pid", "files")),
    "daemon.ready": EventType(
        INFO, "requests are taken, workers are on their way up", ("instances", "keeper_pid", "socket")
    ),
    "daemon.adopted": EventType(INFO, "workers of an earlier daemon go on under this one", ("workers", "keeper_pid")),
    "daemon.reloaded": EventType(
        INFO, "the configuration was read again and applied", ("added", "removed", "changed", "unchanged")
    ),
    "daemon.reload_failed": EventType(
        ERROR, "the configuration was refused; the one in force stays", ("problems", "error")
    ),
    "daemon.reexec": EventType(
        INFO,
        "the daemon has become the program that is installed now; its workers went on",
        ("from_version", "version", "pid", "workers", "duration_s"),
    ),
    "daemon.reexec_failed": EventType(
        ERROR, "the daemon did not become another program, and goes on as it was", ("error", "problems")
    ),
    "daemon.notify_failed": EventType(
        WARNING, "the service manager could not be told a state", ("state", "errno", "error")
    ),
    "daemon.records_lost": EventType(
        WARNING, "records were lost because standard error took none for a while", ("lost",)
    ),
    "daemon.slept": EventType(
        WARNING,
        "the daemon was not run for so long (SIGSTOP, swapping, a starved machine): deadlines of probes, set-ups and"
        " stops were put off by as much, so that no worker is condemned for it",
        ("duration_s",),
    ),
    "daemon.stopping": EventType(INFO, "the daemon ends all workers, then itself", ("instances",)),
    "daemon.hastened": EventType(
        WARNING, "a second interrupt: what is left is killed, in no order and with no grace", ()
    ),
    "daemon.stopped": EventType(
        ("info", "error"), "the daemon leaves: error when something would not die", ("unkillable",)
    ),
    "daemon.failed": EventType(ERROR, "the daemon leaves because it cannot go on", ("error",)),
    "state.unreadable": EventType(
        ERROR, "the state of the daemon before cannot be read: its workers are ended", ("error",)
    ),
    "state.damaged": EventType(
        ERROR, "so many instances' states cannot be read: what is found of them is ended", ("slots",)
    ),
    "ids.failed": EventType(ERROR, "which ids are whose cannot be read or written: no worker gets any", ("error",)),
    "ids.moved": EventType(
        WARNING,
        'a worker with id_map = "auto" has other ids than before; its files still have the old ones, told here',
        ("worker", "uid", "gid", "count", "former"),
    ),
    "ids.reused": EventType(
        WARNING,
        "a worker was given the ids of one that has left the configuration, and with them the files left behind",
        ("worker", "uid", "gid", "count", "former"),
    ),
    "addresses.failed": EventType(
        ERROR, "which address of a bridge is whose cannot be read or written: no worker gets any", ("error",)
    ),
    "bridge.swept": EventType(
        WARNING, "the places on a bridge of incarnations that are gone were removed", ("incarnations",)
    ),
    "bridge.failed": EventType(ERROR, "a bridge, or a place on it, could not be removed", ("error",)),
    "history.failed": EventType(
        ERROR, "exits and launches cannot be kept beyond this daemon's life", ("instance", "error")
    ),
    "cgroup.unavailable": EventType(
        WARNING,
        "limits are asked for that nobody can set here: controllers that are not delegated",
        ("controllers", "workers", "required_by", "reason", "hint"),
    ),
    "cgroup.busy": EventType(
        ERROR, "a process in the cgroup of an incarnation that has ended does not die", (*INSTANCE, "path")
    ),
    "keeper.started": EventType(INFO, "a keeper answers and takes launches", ("pid", "scope")),
    "keeper.adopted": EventType(INFO, "the keeper of an earlier daemon was taken over", ("pid", "workers")),
    "keeper.died": EventType(("error", "warning"), "the keeper is gone; workers go on without it", ("pid", "error")),
    "keeper.drained": EventType(INFO, "the keeper of another version has left, after its last worker", ("pid",)),
    "keeper.restored": EventType(WARNING, "the keeper's socket was deleted and is there again", ("path",)),
    "keeper.unreachable": EventType(
        ERROR,
        "the keeper's socket was deleted and cannot be made again; it is tried every three seconds",
        ("path", "error"),
    ),
    "keeper.unrecorded": EventType(
        ERROR, "the state directory takes no record of the keeper: it is found by its socket only", ("error",)
    ),
    "keeper.replaced": EventType(WARNING, "a new keeper takes the next launches", ("pid",)),
    "keeper.scope_failed": EventType(
        WARNING, "no scope of its own for the keeper; it is started without", ("unit", "error")
    ),
    "setup.phase": EventType(
        ("info", "debug", "error"),
        "one phase of one launch: debug when a restart repeats a success, error when it failed",
        (
            *INSTANCE,
            "phase",
            "detail",
            "duration_us",
            "outcome",
            "errno",
            "syscall",
            "message",
            "hint",
            "standby",
        ),
    ),
    "setup.completed": EventType(
        INFO, "the sandbox is built and the command executed", (*INSTANCE, "duration_us", "phases_us")
    ),
    "setup.failed": EventType(
        ("error", "info"),
        "the sandbox was not built: info when it was no longer wanted",
        (*INSTANCE, "duration_us", "phases_us"),
    ),
    "standby.ready": EventType(
        INFO, "the sandbox of the next incarnation is built and waits before its command", (*INSTANCE, "duration_us")
    ),
    "standby.used": EventType(
        INFO, "this incarnation goes on in the sandbox that was built ahead of its time", (*INSTANCE, "held_s")
    ),
    "standby.dropped": EventType(
        ("info", "debug", "warning"),
        "a sandbox that was built ahead is ended unused, and built anew while one is wanted: warning where memory is"
        " short",
        (*INSTANCE, "reason", "held_s"),
    ),
    "standby.failed": EventType(
        WARNING,
        "no sandbox could be built ahead, or it died while it waited; it is tried again, and the running one goes on",
        (*INSTANCE, "phase", "errno", "syscall", "message", "hint", "error"),
    ),
    "worker.waiting": EventType(INFO, "waits for what it requires", (*INSTANCE, "by", "why")),
    "worker.launching": EventType(INFO, "its sandbox is about to be built", (*INSTANCE, "by", "restarts")),
    "worker.running": EventType(INFO, "the command runs", (*INSTANCE, "pid")),
    "worker.ready": EventType(
        INFO, "is ready, by the kind that it was configured with", (*INSTANCE, "kind", "after_ms")
    ),
    "worker.ready_timeout": EventType(ERROR, "was not ready in time and is stopped", (*INSTANCE, "timeout_s")),
    "worker.probe_failed": EventType(
        WARNING, "its readiness or health cannot be probed; nothing was learnt of it", (*INSTANCE, "error")
    ),
    "worker.healthy": EventType(
        INFO, "its health probe succeeds, for the first time or again", (*INSTANCE, "kind", "seen")
    ),
    "worker.unhealthy": EventType(
        ERROR,
        "its health probe has failed as often as it may: what the last one saw; then: `restart` or `report`",
        (*INSTANCE, "kind", "seen", "failures", "then"),
    ),
    "worker.notified": EventType(
        INFO, "says by sd_notify(3) that it is ready, reloading or stopping", (*INSTANCE, "state", "status")
    ),
    "worker.event_refused": EventType(
        WARNING, "something followed that its state does not allow; nothing was done", ("worker", "instance", "error")
    ),
    "worker.stable": EventType(
        ("info", "debug"),
        "ran long enough to forget earlier failures: debug where there were none",
        (*INSTANCE, "failures"),
    ),
    "worker.paused": EventType(INFO, "all of its processes are frozen", INSTANCE),
    "worker.unpaused": EventType(INFO, "its processes go on", INSTANCE),
    "worker.stopping": EventType(INFO, "was asked to leave", (*INSTANCE, "by", "signal", "grace_s")),
    "worker.killing": EventType(WARNING, "its whole tree is killed", (*INSTANCE, "by", "why", "signal")),
    "worker.unkillable": EventType(ERROR, "does not die; no second copy is started", (*INSTANCE, "pid", "after_s")),
    "worker.exited": EventType(
        ("info", "warning"),
        "ended: warning when neither clean nor asked for",
        (
            *INSTANCE,
            "cause",
            "code",
            "signal",
            "or_signal",
            "probe",
            "core_dumped",
            "oom_killed",
            "clean",
            "requested_by",
            "uptime_s",
            "phase",
            "errno",
            "syscall",
            "hint",
            "user_s",
            "system_s",
            "max_rss_bytes",
            "memory_peak_bytes",
            "memory_max_bytes",
        ),
    ),
    "worker.backoff": EventType(
        WARNING, "will be started again after a delay", (*INSTANCE, "delay_s", "failures", "next")
    ),
    "worker.crash_loop": EventType(
        WARNING, "failed several times without a stable run; the backoff goes on", (*INSTANCE, "failures")
    ),
    "worker.stopped": EventType(INFO, "is down because somebody wanted it so", (*INSTANCE, "by")),
    "worker.completed": EventType(INFO, "has ended and is not started again", (*INSTANCE, "reason")),
    "worker.failed": EventType(ERROR, "is given up by its restart policy", (*INSTANCE, "reason")),
    "worker.adopted": EventType(INFO, "goes on under this daemon", (*INSTANCE, "pid")),
    "worker.stray": EventType(
        WARNING, "was left by an earlier daemon, is not known here and is ended", ("name", "pid")
    ),
    "exec.started": EventType(
        INFO,
        "somebody executes a command in its sandbox (`nsvisor exec`)",
        (*INSTANCE, "exec", "pid", "command", "terminal", "duration_us", "by_uid", "by_pid"),
    ),
    "exec.failed": EventType(
        WARNING,
        "a command was not executed in its sandbox: the phase and why",
        (*INSTANCE, "exec", "command", "phase", "detail", "errno", "syscall", "message", "hint", "by_uid", "by_pid"),
    ),
    "exec.exited": EventType(
        INFO,
        "such a command has ended; why: `worker`, with its worker, or `hangup`, as its client had gone",
        (*INSTANCE, "exec", "code", "signal", "why", "uptime_s"),
    ),
    "exec.stray": EventType(WARNING, "such a command was left by an earlier daemon and is ended", ("name", "pid")),
    "worker.removed": EventType(INFO, "is no longer in the configuration", ("worker", "instance")),
    "network.output": EventType(
        ("info", "debug"),
        "what the process that connects its network wrote to its log: debug while it comes up",
        (*INSTANCE, "line"),
    ),
    "network.failed": EventType(
        ERROR, "the process that connects its network has ended; the worker is killed", (*INSTANCE, "error")
    ),
    "log.failed": EventType(
        ERROR,
        "a worker's log file, or journald, takes no more lines; the worker goes on, what it writes is counted and lost",
        ("instance", "incarnation", "path", "errno", "error"),
    ),
    "log.recovered": EventType(
        WARNING,
        "the log file is written again; what was lost meanwhile",
        ("instance", "incarnation", "path", "lost_lines", "lost_bytes"),
    ),
    "log.dropped": EventType(
        ("warning", "error"),
        "output was not kept, and how much since this was said last: `rate` its rate_limit was reached, `slow` its file"
        " was too slow (both only with when_full = drop), `unread` it was in the pipes when they were given up,"
        " `failed` (error) the file was closed before it could be written again",
        ("instance", "incarnation", "path", "reason", "lost_lines", "lost_bytes"),
    ),
    "log.lost": EventType(
        WARNING,
        "the daemon before was killed after it had read this much of a worker's output and before it had written it, or"
        " while it did: at most so many bytes are missing. cut_streams: the next line may lack its beginning",
        (*INSTANCE, "path", "lost_bytes_most", "cut_streams"),
    ),
    "log.unwatched": EventType(
        WARNING,
        "what is read and not yet written is counted in this process only: should it be killed, the next daemon cannot"
        " say what that cost",
        ("path", "error"),
    ),
    "log.repaired": EventType(
        WARNING,
        "a line that an earlier daemon could not finish, or somebody else cut, was taken off the log file",
        ("instance", "incarnation", "path", "cut_bytes"),
    ),
    "log.rotated": EventType(
        DEBUG,
        "the log file reached its size or its age and a new one was begun",
        ("instance", "incarnation", "path", "size_bytes"),
    ),
    "log.rotation_failed": EventType(
        WARNING,
        "the log file cannot be renamed and grows beyond its size; nothing is lost",
        ("instance", "incarnation", "path", "errno", "error"),
    ),
    "records.failed": EventType(
        ERROR,
        "the daemon's own records cannot be kept for `nsvisor logs --all`; they are logged as ever",
        ("path", "errno", "error"),
    ),
    "records.recovered": EventType(
        WARNING, "the daemon's own records are kept again; so many are missing there", ("path", "lost")
    ),
    "metrics.listening": EventType(INFO, "metrics can be had over TCP", ("address",)),
    "metrics.failed": EventType(
        ERROR,
        "metrics cannot be had over TCP; all else goes on, and the next reload tries again",
        ("address", "errno", "error"),
    ),
    "journal.unavailable": EventType(
        WARNING, "the journal takes no record: they go to standard error as JSON until it does", ("errno", "error")
    ),
    "journal.recovered": EventType(
        WARNING, "the journal takes records again; so many went to standard error meanwhile", ("records", "lost")
    ),
    "control.refused": EventType(
        WARNING,
        "so many connections are open that some were closed, which asked for nothing or did not read, and others"
        " refused (since this was said last, at most every ten seconds)",
        ("connections", "closed", "refused"),
    ),
    "control.starved": EventType(
        ERROR,
        "connections wait: there is no descriptor, or no memory, for them",
        ("listener", "errno", "error", "hint"),
    ),
    "control.recovered": EventType(INFO, "connections are taken again", ("listener",)),
    "control.lost": EventType(
        ERROR,
        "a socket's file is gone and cannot be made again; it is tried every three seconds",
        ("listener", "error"),
    ),
    "control.restored": EventType(
        WARNING, "a socket's file was gone, with `$XDG_RUNTIME_DIR` perhaps, and was made again", ("listener",)
    ),
    "control.failed": EventType(ERROR, "a request failed for a reason of ours", ("error", "traceback")),
    "events.lost": EventType(
        WARNING,
        "so many events were not kept for their reader; null: it asked for what followed one of an earlier daemon's",
        ("lost", "why"),
    ),
    "library.warned": EventType(
        ("warning", "error", "critical"), "a library has something to say", ("logger", "message")
    ),
}


@cache
def message_id(event: str) -> str:
    """The journal's MESSAGE_ID of this kind of event, as `journalctl MESSAGE_ID=…` takes it: 32 hexadecimal digits."""
    import uuid  # noqa: PLC0415 only where there is a journal

    return uuid.uuid5(uuid.UUID(_MESSAGE_IDS), event).hex


def reference() -> str:
    """docs/reference/events.md: `python -m supervisor.telemetry.events > docs/reference/events.md`."""
    lines = [
        "# Events",
        "",
        "Generated from `supervisor/telemetry/events.py`. Each is a record on standard error, and in `nsvisor events`,",
        "with `timestamp`, `level` and `event` beside the fields below. In the [journal](../how-to/journal.md)",
        "`phase` is `NSVISOR_PHASE`, the event is `NSVISOR_EVENT`, and `MESSAGE_ID` is the number of the second table.",
        "",
        "| event | level | meaning | fields |",
        "|---|---|---|---|",
    ]
    for name, kind in EVENTS.items():
        fields = ", ".join(f"`{field}`" for field in kind.fields) or "–"
        lines.append(f"| `{name}` | {', '.join(kind.levels)} | {kind.text} | {fields} |")
    lines += ["", "| event | `MESSAGE_ID` |", "|---|---|"]
    lines += [f"| `{name}` | `{message_id(name)}` |" for name in EVENTS]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
