"""The examples notice every single change of the table: an effect dropped, another target, a rule or a guard gone."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from supervisor.policy.guards import ALWAYS
from supervisor.policy.restart import TRANSITIONS, Event, IllegalMove, Rule, State, Table, step
from tests.policy.examples import EXAMPLES
from tests.policy.examples.base import JITTER, Example

Key = tuple[State, type[Event]]
BY_KEY: dict[Key, list[Example]] = {}
for _example in EXAMPLES:
    BY_KEY.setdefault((_example.before.state, type(_example.event)), []).append(_example)


def noticed(key: Key, rules: tuple[Rule, ...]) -> bool:
    """Whether an example fails once these rules are in the table; only examples of this key can."""
    table: Table = {**TRANSITIONS, key: rules}
    for one in BY_KEY[key]:
        try:
            found = step(one.before, one.event, one.rules, one.now, JITTER, table=table)
        except IllegalMove:
            if not one.illegal:
                return True
        else:
            if one.illegal or found != (one.after, one.actions):
                return True
    return False


def mutants(rules: tuple[Rule, ...], index: int) -> Iterator[tuple[str, tuple[Rule, ...]]]:
    before, rule, after = rules[:index], rules[index], rules[index + 1 :]
    yield "dropped", (*before, *after)
    for place, effect in enumerate(rule.effects):
        effects = rule.effects[:place] + rule.effects[place + 1 :]
        yield f"without {effect!r}", (*before, replace(rule, effects=effects), *after)
    for target in (None, *State):
        if target is not rule.target:
            yield f"to {target}", (*before, replace(rule, target=target), *after)
    if rule.guard != ALWAYS:
        yield "unguarded", (*before, replace(rule, guard=ALWAYS), *after)


@pytest.mark.parametrize("key", TRANSITIONS, ids=[f"{state}-{event.__name__}" for state, event in TRANSITIONS])
def test_every_change_of_a_rule_is_noticed(key: Key) -> None:
    rules = TRANSITIONS[key]
    assert not noticed(key, rules)
    missed = [
        f"rule {index}: {name}"
        for index in range(len(rules))
        for name, mutant in mutants(rules, index)
        if not noticed(key, mutant)
    ]
    assert not missed
