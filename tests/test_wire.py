"""Tokens, plans and messages survive the way; what is no plan is a WireError and nothing else."""

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor.wire import WireError, decode_plan, encode_plan, pack, unpack

# What os.fsdecode can give: every string that a path, an argument or a variable may be.
STRINGS = st.binary(max_size=30).filter(lambda raw: b"\0" not in raw).map(os.fsdecode)
BYTES = st.binary(max_size=30).filter(lambda raw: b"\0" not in raw)
NUMBERS = st.integers(-(2**70), 2**70)
TOKENS = st.one_of(STRINGS, BYTES, NUMBERS)
STEPS = st.lists(
    st.tuples(st.text("abc.", min_size=1, max_size=9), st.lists(TOKENS, max_size=6).map(tuple)), min_size=1
)


def as_text(token: bytes | str | int) -> str:
    return os.fsdecode(token) if isinstance(token, bytes) else str(token)


@given(st.lists(TOKENS, min_size=1))
def test_tokens(tokens: list[bytes | str | int]) -> None:
    assert unpack(pack(*tokens)) == [as_text(token) for token in tokens]


@given(BYTES)
def test_bytes_come_back_as_they_were(raw: bytes) -> None:
    assert os.fsencode(unpack(pack("x", raw))[1]) == raw


@given(STEPS)
def test_plans(steps: list[tuple[str, tuple[bytes | str | int, ...]]]) -> None:
    expected = [(phase, [as_text(argument) for argument in arguments]) for phase, arguments in steps]
    assert decode_plan(encode_plan(steps)) == expected


@given(STEPS, st.integers(0, 2**20), st.sampled_from([b"", b"\0", b"\x001", b"\0x", b"\0-1"]))
@example([("a", ())], 0, b"")
def test_a_plan_cut_short_or_spoilt(
    steps: list[tuple[str, tuple[bytes | str | int, ...]]], at: int, put: bytes
) -> None:
    data = encode_plan(steps)
    at %= len(data) + 1
    only_wire_errors(data[:at] + put + data[at:])
    only_wire_errors(data[:at])


@given(st.binary(max_size=200))
def test_anything_at_all(data: bytes) -> None:
    only_wire_errors(data)


def only_wire_errors(data: bytes) -> None:
    try:
        steps = decode_plan(data)
    except WireError:
        return
    assert encode_plan([(phase, (*arguments,)) for phase, arguments in steps]).count(b"\0") == data.count(b"\0")


@pytest.mark.parametrize(
    "data", [b"", b"exec", b"exec\0", b"exec\0x", b"exec\0-1", b"exec\0-2\0a", b"exec\x002\0a", b"exec\0" + b"9" * 5000]
)
def test_what_is_no_plan(data: bytes) -> None:
    with pytest.raises(WireError, match="not a plan"):
        decode_plan(data)


@pytest.mark.parametrize("token", ["a\0b", b"\0", "\0"])
def test_a_nul_has_no_place_in_a_token(token: bytes | str) -> None:
    with pytest.raises(WireError, match="NUL"):
        pack("a", token)


def test_numbers_are_decimal_and_truth_is_one() -> None:
    assert pack("n", -5, True, 0) == b"n\0-5\x001\x000"
