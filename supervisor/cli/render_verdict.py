"""Why an instance is running or not: one sentence, from its status and its last exit."""

from collections.abc import Mapping

from supervisor.cli import words
from supervisor.cli.render_exit import how
from supervisor.control.models import InstanceDetail, InstanceView


def why(detail: InstanceDetail, states: Mapping[str, str]) -> str:
    """The sentence. `states` are those of the other instances, by name."""
    view = detail.instance
    match view.state:
        case "running" | "ready" | "creating":
            return _up(detail)
        case "waiting":
            return f"{view.name} waits for {_requirements(detail, states)}."
        case "backoff":
            return (
                f"{view.name} is down and will be started again in {words.span(view.next_start_in_s)}: {_ended(view)}"
            )
        case "stopping":
            limit = f", for {words.span(view.deadline_in_s)} more at most" if view.deadline_in_s is not None else ""
            return f"{view.name} was asked to leave{_by(view.stopped_by)} and has not left yet{limit}."
        case "stopped":
            if view.stopped_by is not None:
                return f"{view.name} is down because it was stopped{_by(view.stopped_by)}: `nsvisor start {view.name}`."
            return f"{view.name} was never started: `nsvisor start {view.name}`."
        case "completed":
            return f"{view.name} has done its work: {_ended(view)} Its policy ({_policy(detail)}) ends there."
        case "failed":
            return (
                f"{view.name} is given up: {_ended(view)} {_gave_up(detail)} `nsvisor start {view.name}` tries again."
            )
        case "unkillable":
            return (
                f"{view.name} (pid {view.pid}) was killed and does not die: a process of it hangs in the kernel. "
                "No second copy is started while it is there."
            )
    return f"{view.name} is {view.state}."


def policy_said(detail: InstanceDetail) -> str | None:
    """What the restart policy decided after the last exit, and when it tries next; None without an exit."""
    view = detail.instance
    last = view.last_exit
    if last is None:
        return None
    facts = [f"policy {_policy(detail)}"]
    if last.requested_by is not None:
        facts.append(f"the exit was asked for by {last.requested_by}")
    elif last.clean:
        facts.append("the exit was clean")
    if view.failures:
        facts.append(f"{view.failures} failure{'' if view.failures == 1 else 's'} since the last stable run")
    if view.crash_loop:
        facts.append("crash loop")
    limit = detail.spec.restart.max_restarts
    if limit is not None:
        window = detail.spec.restart.window_s
        facts.append(f"at most {limit} restarts" + (f" in {words.span(window)}" if window is not None else ""))
    outcome = {
        "backoff": f"next start in {words.span(view.next_start_in_s)}",
        "stopped": "not started again",
        "completed": "not started again",
        "failed": "not started again",
        "waiting": "started again when what it requires is there",
    }.get(view.state, "started again")
    return f"{', '.join(facts)}: {outcome}"


def _up(detail: InstanceDetail) -> str:
    view = detail.instance
    if view.state == "creating":
        return f"{view.name}'s sandbox is being built since {words.span(view.in_state_s)}."
    if view.paused:
        return f"{view.name} (pid {view.pid}) is paused: `nsvisor unpause {view.name}` lets it go on."
    since = f"since {words.span(view.uptime_s)}" if view.uptime_s is not None else "now"
    sentence = f"{view.name} runs {since} as pid {view.pid}"
    if view.state == "running":
        limit = f", for {words.span(view.deadline_in_s)} more at most" if view.deadline_in_s is not None else ""
        seen = f" ({view.health_seen})" if view.health_seen else ""
        return f"{sentence} and is not ready yet: {detail.spec.ready.kind} is awaited{limit}{seen}."
    health = "ready"
    if view.health is not None:
        seen = f" ({view.health_seen})" if view.health_seen else ""
        known = "ready and " + view.health if view.health != "starting" else "ready, its health not known yet"
        health = f"{known}{seen}"
    if view.status_text:
        health += f', and says "{view.status_text}"'
    if view.restarts == 0:
        return f"{sentence} and is {health}."
    times = f"{view.restarts} time{'' if view.restarts == 1 else 's'}"
    return f"{sentence} and is {health}; its policy has restarted it {times}."


def _requirements(detail: InstanceDetail, states: Mapping[str, str]) -> str:
    needed = dict.fromkeys((*detail.spec.requires, *detail.spec.after))
    absent = [
        f"{name} ({state})"
        for name, state in states.items()
        if name.rpartition("-")[0] in needed or name in needed
        if state not in ("ready", "completed")
    ]
    return ", ".join(absent) or ", ".join(needed) or "what it requires"


def _ended(view: InstanceView) -> str:
    return f"{how(view.last_exit)}." if view.last_exit is not None else "it has no exit on record."


def _gave_up(detail: InstanceDetail) -> str:
    limit = detail.spec.restart.max_restarts
    if limit is not None and detail.spec.restart.policy != "never":
        return f"Its policy ({_policy(detail)}, at most {limit} restarts) starts it no more."
    return f"Its policy ({_policy(detail)}) does not restart after this."


def _policy(detail: InstanceDetail) -> str:
    return detail.spec.restart.policy


def _by(who: str | None) -> str:
    return f" by {who}" if who else ""
