import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.telemetry.render import plain, stamp, timestamp, to_json


def line(**fields: object) -> dict[str, object]:
    rendered = to_json(None, "info", stamp(None, "info", {"event": "test.rendered", **fields}))
    assert rendered.endswith(b"\n")
    assert rendered.count(b"\n") == 1
    decoded: dict[str, object] = json.loads(rendered.decode())
    return decoded


def test_order_and_values_of_keys() -> None:
    rendered = to_json(None, "warning", stamp(None, "warning", {"b": 1, "a": None, "event": "x.y", "timestamp": 0.5}))
    assert rendered == b'{"timestamp":"1970-01-01T00:00:00.500000Z","level":"warning","event":"x.y","b":1,"a":null}\n'


@given(st.floats(min_value=0, max_value=4e9))
def test_timestamps_are_utc_with_microseconds(seconds: float) -> None:
    text = timestamp(seconds)
    assert len(text) == len("2026-01-31T23:59:59.000001Z")
    assert abs(datetime.fromisoformat(text).astimezone(UTC).timestamp() - seconds) < 2e-6


def test_time_now_where_none_is_given() -> None:
    before = datetime.now(UTC)
    assert before.isoformat() <= str(line()["timestamp"]).replace("Z", "+00:00") <= datetime.now(UTC).isoformat()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("line\nend", "line\nend"),
        ("\udcff.txt", "\\xff.txt"),
        ("\ud800", "?"),
        (2**70, 2**70),
        (float("inf"), None),
        (b"bytes", "Ynl0ZXM="),
        ({1, "\udc80"}, [1, "\\x80"]),
        ({(1, 2): object}, {"(1, 2)": "<class 'object'>"}),
        (ValueError("no"), "ValueError('no')"),
    ],
)
def test_what_json_cannot_hold_is_still_shown(value: object, shown: object) -> None:
    got = line(value=value)["value"]
    assert (sorted(got, key=str) if isinstance(got, list) else got) == shown


def test_endless_values_end() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert "..." in json.dumps(line(value=loop))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner) | st.tuples(inner),
    max_leaves=10,
)


@given(ANYTHING)
def test_any_value_gives_one_line_of_json(value: object) -> None:
    line(value=value)
    json.loads(json.dumps(plain(value), allow_nan=False).encode())
