import re

import pytest

from supervisor.telemetry.events import EVENTS, message_id
from supervisor.telemetry.journal_record import encode_record
from supervisor.telemetry.sentences import SENTENCES, sentence

WEB = {"worker": "web", "instance": "web-0", "incarnation": 17}
OF_THE_SENTENCE = {"who", "duration"}


@pytest.mark.parametrize(
    ("event", "fields", "text"),
    [
        (
            "worker.exited",
            {**WEB, "cause": "exit", "code": 3, "signal": None, "oom_killed": True, "uptime_s": 0.0123456},
            "web-0#17 ended (exit) with exit code 3, out of memory, after 0.01235 s",
        ),
        (
            "worker.exited",
            {**WEB, "cause": "signal", "signal": "SIGSEGV", "core_dumped": False, "requested_by": "operator"},
            "web-0#17 ended (signal) by SIGSEGV, asked for by operator",
        ),
        (
            "setup.phase",
            {**WEB, "phase": "exec", "detail": "{pid}[x]", "outcome": "ok", "duration_us": 1500},
            "web-0#17: exec {pid}[x] ok after 1.5 ms",
        ),
        (
            "setup.phase",
            {
                **WEB,
                "phase": "uts",
                "detail": "",
                "outcome": "failed",
                "duration_us": 7,
                "errno": "EPERM",
                "hint": "No.",
            },
            "web-0#17: uts failed after 0.007 ms: EPERM. No.",
        ),
        ("daemon.reload_failed", {"problems": ["a", "b"]}, "configuration refused, the one in force stays: a, b"),
        ("worker.removed", {"worker": "web", "instance": "web-0"}, "web-0: is no longer in the configuration"),
        (
            "cgroup.unavailable",
            {"controllers": ["memory", "cpu"], "required_by": [], "reason": None, "hint": "do"},
            "limits are asked for that nobody can set here (controllers memory, cpu, hint do)",
        ),
        ("worker.exited", WEB, "web-0#17: ended"),  # a cause is what it cannot do without
        ("some.thing", {"x": 1}, "some.thing (x 1)"),
    ],
)
def test_sentences(event: str, fields: dict[str, object], text: str) -> None:
    assert sentence(event, fields) == text


@pytest.mark.parametrize("event", SENTENCES)
def test_sentences_name_fields_that_the_event_has(event: str) -> None:
    assert set(re.findall(r"\{(\w+)\}", SENTENCES[event])) - OF_THE_SENTENCE <= set(EVENTS[event].fields)


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_has_one_line_and_no_braces(event: str) -> None:
    fields = {name: "word" if name != "duration_us" else 3 for name in EVENTS[event].fields}
    for given in (fields, {}):
        text = sentence(event, given)
        assert text
        assert not set("{}[]\n") & set(text)


def test_numbers_of_events_never_change() -> None:
    assert message_id("worker.exited") == "dc703c611a8b59448c2f35b1bb58cad2"
    assert message_id("setup.phase") == "7cc6b6103ce455e795e964b2defba862"
    assert len({message_id(event) for event in EVENTS}) == len(EVENTS)


def test_a_record_whatever_is_in_it() -> None:
    fields = {
        "event": "library.warned",
        "logger": "x",
        "message": "a\udcff\ud800",
        "odd key é": {"a": [1, b"\xff"]},
        "none": None,
        "name" * 30: True,
        "errno": "E2BIG",
        "timestamp": 1.0,
    }
    lines = encode_record("critical", fields).split(b"\n")
    assert b"PRIORITY=2" in lines
    assert b"ERRNO=7" in lines
    assert b"NSVISOR_ERRNO=E2BIG" in lines
    assert b'NSVISOR_ODD_KEY__={"a":[1,"b\'\\\\xff\'"]}' in lines
    assert not [line for line in lines if line.startswith((b"NSVISOR_NONE", b"NSVISOR_TIMESTAMP"))]
    names = [line.partition(b"=")[0] for line in lines if line]
    assert all(re.fullmatch(rb"[A-Z][A-Z0-9_]{0,63}", name) for name in names), names
    assert b"NSVISOR_MESSAGE=a\xff" not in lines  # one that stands for no byte spoils the others
