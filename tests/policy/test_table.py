"""Every rule of the table, by example."""

import pytest

from supervisor.policy.effects import EFFECTS
from supervisor.policy.events import EVENTS, Deadline
from supervisor.policy.guards import GUARDS
from supervisor.policy.restart import TERMINAL, TRANSITIONS, WAITS_FOR, IllegalMove, State, step
from tests.policy.examples import EXAMPLES
from tests.policy.examples.base import JITTER, Example


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_example(example: Example) -> None:
    if example.illegal:
        with pytest.raises(IllegalMove, match=f"^cannot .* in state {example.before.state}"):
            step(example.before, example.event, example.rules, example.now, JITTER)
    else:
        found = step(example.before, example.event, example.rules, example.now, JITTER)
        assert found == (example.after, example.actions)


def test_names_in_the_table_exist_and_all_are_used() -> None:
    rules = [rule for rules in TRANSITIONS.values() for rule in rules]
    assert {rule.guard for rule in rules} == set(GUARDS)
    assert {effect for rule in rules for effect in rule.effects} == set(EFFECTS)


def test_every_state_can_be_stopped_started_and_restarted() -> None:
    for state in State:
        assert {event.__name__ for event in EVENTS[:3]} == {"Start", "Stop", "Restart"}
        for event in EVENTS[:3]:
            assert (state, event) in TRANSITIONS


def test_every_state_says_what_it_waits_for_and_takes_it() -> None:
    assert set(WAITS_FOR) == set(State)
    for state, events in WAITS_FOR.items():
        assert events
        for event in events:
            assert (state, event) in TRANSITIONS
        assert ((state, Deadline) in TRANSITIONS) == (Deadline in events)
        assert state not in TERMINAL or Deadline not in events


def test_no_rule_is_shadowed_by_an_earlier_one() -> None:
    for rules in TRANSITIONS.values():
        assert all(rule.guard for rule in rules[:-1])
