"""The docs show the table as it is."""

import re

import pytest
from msgspec.structs import replace

from supervisor.policy.diagram import mermaid, rules_markdown, states_markdown
from supervisor.policy.events import Adopted, Stop
from supervisor.policy.restart import TRANSITIONS, State, Table
from tests.policy.restart_docs import PAGE, generated


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text()
    assert text == generated(text), "run: python -m tests.policy.restart_docs"


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="part states"):
        generated("# Restart policy\n")


def test_the_diagram_draws_every_way_between_states() -> None:
    text = mermaid()
    ways = set(re.findall(r"^    (\S+) --> (\S+): ", text, re.MULTILINE))
    for (state, event), rules in TRANSITIONS.items():
        for rule in rules:
            if rule.target is not None and event is not Adopted:
                assert any(state in source.split("_or_") and target == rule.target for source, target in ways)
    assert text.startswith("stateDiagram-v2\n    [*] --> stopped\n")


def test_a_changed_table_is_another_diagram_and_another_list_of_rules() -> None:
    key = (State.BACKOFF, Stop)
    changed: Table = {**TRANSITIONS, key: (replace(TRANSITIONS[key][0], target=State.FAILED),)}
    assert "backoff --> failed: Stop" in mermaid(changed)
    assert "backoff --> failed" not in mermaid()
    assert rules_markdown(changed) != rules_markdown()


def test_every_rule_and_every_state_has_a_line() -> None:
    lines = rules_markdown().splitlines()[2:]
    shown = sum(line.split("|")[1].count("`") // 2 for line in lines)
    assert shown == sum(len(rules) for rules in TRANSITIONS.values())
    assert [line.split("`")[1] for line in states_markdown().splitlines()[2:]] == list(State)
