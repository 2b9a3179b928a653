"""One event as one sentence, for readers of the journal: its MESSAGE. The fields beside it say the same to programs."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from supervisor.telemetry.events import EVENTS

# {name} is a field; a part in brackets is left out where one of its fields is missing, null, false or empty.
# {who} is the incarnation, {duration} is duration_us in milliseconds. Events that are not here get their meaning.
SENTENCES = {
    "daemon.started": "nsvisor {version} starts with {files}",
    "daemon.ready": "ready, with {instances} instances",
    "daemon.adopted": "workers of an earlier daemon go on: {workers}",
    "daemon.reloaded": "configuration applied: {added} added, {removed} removed, {changed} changed, {unchanged} not",
    "daemon.reload_failed": "configuration refused, the one in force stays[: {error}][: {problems}]",
    "daemon.stopping": "stopping {instances} instances",
    "daemon.hastened": "killing what is left: a second interrupt",
    "daemon.stopped": "stopped[, but for {unkillable}, which would not die]",
    "daemon.failed": "cannot go on: {error}",
    "daemon.records_lost": "{lost} records were lost",
    "keeper.died": "the keeper is gone[: {error}]; workers go on without it",
    "setup.phase": "{who}: {phase}[ {detail}] {outcome} after {duration}[: {errno}][ from {syscall}][: {message}]"
    "[. {hint}]",
    "setup.completed": "{who}: sandbox built in {duration}",
    "setup.failed": "{who}: sandbox not built, given up after {duration}",
    "standby.ready": "{who} is built ahead in {duration}, and waits for its turn",
    "standby.used": "{who} goes on in the sandbox that was built ahead",
    "standby.dropped": "{who}, built ahead, is ended unused[: {reason}]",
    "standby.failed": "{who} could not be built ahead[ in {phase}][: {errno}][ from {syscall}][: {message}][: {error}]"
    "[. {hint}]",
    "worker.waiting": "{who} waits for what it requires[: {why}]",
    "worker.launching": "{who} is launched[ by {by}]",
    "worker.running": "{who} runs[ as process {pid}]",
    "worker.ready": "{who} is ready after {after_ms} ms",
    "worker.ready_timeout": "{who} was not ready within {timeout_s} s and is stopped",
    "worker.healthy": "{who} is healthy[: {seen}]",
    "worker.unhealthy": "{who} is unhealthy: {seen}[; {failures} failures in a row][; then {then}]",
    "worker.notified": "{who} says that it is {state}[: {status}]",
    "worker.stopping": "{who} is asked to leave[ by {by}][ with {signal}][, in {grace_s} s]",
    "worker.killing": "{who}: all of its processes are killed[ by {by}][: {why}]",
    "worker.unkillable": "{who} does not die[ within {after_s} s]; no second copy is started",
    "worker.exited": "{who} ended ({cause})[ with exit code {code}][, or killed by {or_signal}][ by {signal}]"
    "[, core dumped{core_dumped}]"
    "[, last probe: {probe}]"
    "[, out of memory{oom_killed}][ in phase {phase}][: {errno}][ from {syscall}][, asked for by {requested_by}]"
    "[, after {uptime_s} s][. {hint}]",
    "worker.backoff": "{who} failed[ {failures} times] and is started again in {delay_s} s",
    "worker.crash_loop": "{who} failed {failures} times without a stable run",
    "worker.stopped": "{who} is stopped[ by {by}]",
    "worker.completed": "{who} is through[: {reason}]",
    "worker.failed": "{who} is given up[: {reason}]",
    "worker.adopted": "{who} goes on under this daemon[ as process {pid}]",
    "network.output": "{who}: {line}",
    "journal.recovered": "the journal takes records again; {records} went to standard error[, {lost} were lost]",
    "library.warned": "{logger}: {message}",
}
_PART = re.compile(r"\[([^\]]*)\]")
_FIELD = re.compile(r"\{(\w+)\}")


class _MissingError(LookupError):
    """A sentence wants a field that is not there."""


def sentence(event: str, fields: Mapping[str, Any]) -> str:
    """One line for people."""
    known = {**fields, "who": _who(fields)}
    if "duration_us" in fields:
        known["duration"] = f"{fields['duration_us'] / 1000:.4g} ms"
    try:
        said = "".join(_filled(part, known) for part in _parts(event))
    except (KeyError, _MissingError):
        said = _meaning(event, known)
    return " ".join(said.split())


class _Part(NamedTuple):
    """What stands in brackets, or between them."""

    optional: bool
    words: tuple[str, ...]  # every other one is a field


@cache
def _parts(event: str) -> tuple[_Part, ...]:
    found = enumerate(_PART.split(SENTENCES[event]))  # every other one stood in brackets
    return tuple(_Part(bool(at % 2), tuple(_FIELD.split(text))) for at, text in found if text)


def _filled(part: _Part, fields: Mapping[str, Any]) -> str:
    try:
        return "".join([_word(fields, word) if at % 2 else word for at, word in enumerate(part.words)])
    except _MissingError:
        if part.optional:
            return ""
        raise


def _word(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if value is None or value is False or value in ("", [], ()):
        raise _MissingError(key)
    if value is True:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def _who(fields: Mapping[str, Any]) -> str | None:
    """web-0#17, as far as that is known."""
    name = fields.get("instance") or fields.get("worker")
    number = fields.get("incarnation")
    return name if name is None or number is None else f"{name}#{number}"


def _meaning(event: str, fields: Mapping[str, Any]) -> str:
    """What the list of events says of it, without its levels, and its fields."""
    text = EVENTS[event].text.partition(":")[0] if event in EVENTS else event
    told = ("who", "worker", "instance", "incarnation", "duration", "event", "timestamp")
    values = ", ".join(
        f"{key} {word}" for key, value in fields.items() if key not in told and (word := _shown(value)) is not None
    )
    head = f"{fields['who']}: {text}" if fields["who"] else text
    return f"{head} ({values})" if values else head


def _shown(value: object) -> str | None:
    if isinstance(value, Mapping) or value in (None, "", [], ()):
        return None
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
