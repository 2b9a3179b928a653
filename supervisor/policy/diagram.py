"""The table as text for the docs: a mermaid state diagram, what each state waits for, and every rule."""

from supervisor.policy.events import Adopted, Event
from supervisor.policy.states import TERMINAL, State
from supervisor.policy.table import TRANSITIONS, WAITS_FOR, Rule, Table

Rows = tuple[tuple[type[Event], tuple[Rule, ...]], ...]


def mermaid(table: Table = TRANSITIONS) -> str:
    """Every way from one state to another as a stateDiagram-v2, one arrow per pair of states.

    States whose rules are all the same are drawn in one box. Adopted is left out: it leads to ready or running.
    """
    boxes: dict[Rows, list[State]] = {}
    for state in State:
        boxes.setdefault(_rows(state, table), []).append(state)
    lines = ["stateDiagram-v2", "    [*] --> stopped"]
    arrows: dict[tuple[str, State], dict[str, None]] = {}
    for rows, states in boxes.items():
        source = str(states[0])
        if len(states) > 1:
            source = "_or_".join(states)
            lines += [f"    state {source} {{", *(f"        {state}" for state in states), "    }"]
        for event, rules in rows:
            for rule in rules:
                if rule.target is not None and event is not Adopted:
                    arrows.setdefault((source, rule.target), {})[event.__name__] = None
    lines += [f"    {source} --> {target}: {', '.join(events)}" for (source, target), events in arrows.items()]
    return "\n".join(lines)


def states_markdown() -> str:
    """For each state, what ends it."""
    lines = ["| state | waits for | timer |", "|---|---|---|"]
    for state in State:
        names = ", ".join(event.__name__ for event in WAITS_FOR[state])
        lines.append(f"| `{state}` | {'a request: ' if state in TERMINAL else ''}{names} | {TIMERS.get(state, '–')} |")
    return "\n".join(lines)


def rules_markdown(table: Table = TRANSITIONS) -> str:
    """Every rule; states whose rules for an event are the same share their rows."""
    shared: dict[tuple[type[Event], tuple[Rule, ...]], list[State]] = {}
    for state in State:
        for row in _rows(state, table):
            shared.setdefault(row, []).append(state)
    lines = ["| in state | event | when | goes to | does |", "|---|---|---|---|---|"]
    for (event, rules), states in shared.items():
        names = ", ".join(f"`{state}`" for state in states)
        for rule in rules:
            target = "–" if rule.target is None else f"`{rule.target}`"
            effects = ", ".join(rule.effects) or "–"
            lines.append(f"| {names} | {event.__name__} | {rule.guard or '–'} | {target} | {effects} |")
    return "\n".join(lines)


def _rows(state: State, table: Table) -> Rows:
    return tuple((event, rules) for (owner, event), rules in table.items() if owner is state)


TIMERS = {
    State.RUNNING: "`ready.timeout`, then it is stopped",
    State.READY: "`reset_after`, then the run is stable",
    State.STOPPING: "`stop.grace`, then the whole tree is killed; 5 s, then `unkillable`",
    State.BACKOFF: "the delay, then it is launched",
}
