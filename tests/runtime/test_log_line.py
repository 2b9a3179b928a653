import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.runtime import log_line
from supervisor.runtime.log_line import (
    LIMIT_BYTES,
    Encoder,
    LineSplitter,
    decode,
    encode_lines,
    encode_piece,
    head,
)

BEGINNING = head(1769900399.25, "stdout", 17)

# What is hard: every control character, quotes, backslashes, text of all lengths in UTF-8, bytes that are none.
TEXT = (
    st.binary()
    | st.text().map(str.encode)
    | st.lists(st.sampled_from(list(b'\\"\n\r\t\0\x1b\x7f a\xc3\xa9'))).map(bytes)
)


def test_one_plain_line() -> None:
    assert encode_lines(BEGINNING, b"ready\n") == (b'{"t":1769900399.250000,"s":"stdout","i":17,"m":"ready"}\n')


def test_a_piece_and_bytes_that_are_no_text_are_marked() -> None:
    assert encode_piece(BEGINNING, b"half") == b'{"t":1769900399.250000,"s":"stdout","i":17,"p":true,"m":"half"}\n'
    assert encode_lines(BEGINNING, b"a\n\xff\n\n").splitlines() == [
        b'{"t":1769900399.250000,"s":"stdout","i":17,"m":"a"}',
        b'{"t":1769900399.250000,"s":"stdout","i":17,"e":"b64","m":"/w=="}',
        b'{"t":1769900399.250000,"s":"stdout","i":17,"m":""}',
    ]


@given(TEXT)
def test_any_lines_are_valid_json_and_come_back(data: bytes) -> None:
    data += b"\n"
    encoded = encode_lines(BEGINNING, data)
    assert encoded.endswith(b"\n")
    lines = encoded.split(b"\n")[:-1]
    assert len(lines) == data.count(b"\n")
    for line in lines:
        assert json.loads(line.decode())["i"] == 17  # by another reader than ours
    assert b"".join(decode(line).raw() for line in lines) == data


@given(TEXT.map(lambda data: data.replace(b"\n", b"")))
def test_any_piece_comes_back(data: bytes) -> None:
    line = decode(encode_piece(BEGINNING, data))
    assert line.p
    assert line.raw() == data


@pytest.mark.parametrize("byte", range(256))
def test_every_byte_alone_and_amid_text(byte: int) -> None:
    data = b"x%cy\n" % byte + b"%c\n" % byte
    assert b"".join(decode(line).raw() for line in encode_lines(BEGINNING, data).split(b"\n")[:-1]) == data


def feed(chunks: list[bytes]) -> tuple[list[tuple[bytes, bool]], bytes]:
    splitter = LineSplitter()
    found = [part for chunk in chunks for part in splitter.feed(chunk)]
    return found, splitter.flush()


# Lines from nothing to several times the limit, cut into chunks anywhere.
LINES = st.lists(
    st.integers(0, 5) | st.sampled_from([n * LIMIT_BYTES + d for n in (1, 2, 3) for d in (-1, 0, 1)]), max_size=6
).map(lambda lengths: b"\n".join(b"x" * length for length in lengths))


@given(LINES, st.lists(st.integers(1, 2 * LIMIT_BYTES), max_size=8))
def test_splitting_loses_nothing_and_bounds_every_line(data: bytes, sizes: list[int]) -> None:
    chunks, at = [], 0
    for size in sizes:
        chunks.append(data[at : at + size])
        at += size
    chunks.append(data[at:])
    found, rest = feed(chunks)
    assert b"".join(part for part, _whole in found) + rest == data
    assert b"\n" not in rest
    assert len(rest) <= LIMIT_BYTES
    for part, whole in found:
        if whole:
            assert part.endswith(b"\n")
            assert max(len(line) for line in part.split(b"\n")) <= LIMIT_BYTES
        else:
            assert part
            assert b"\n" not in part
            assert len(part) <= LIMIT_BYTES


def test_a_line_within_the_limit_is_never_cut() -> None:
    line = b"x" * LIMIT_BYTES + b"\n"
    assert feed([line[:1], line[1:]]) == ([(line, True)], b"")
    assert feed([line * 2]) == ([(line * 2, True)], b"")
    assert feed([b"a" + line])[0] == [(b"a" + line[: LIMIT_BYTES - 1], False), (b"x\n", True)]


@pytest.mark.parametrize("character", ["é", "€", "😀"])
@pytest.mark.parametrize("shift", range(4))
def test_pieces_end_between_characters(character: str, shift: int) -> None:
    data = b"x" * shift + character.encode() * LIMIT_BYTES
    found, rest = feed([data])
    for part in [*(part for part, _whole in found), rest]:
        part.decode()


def test_bytes_that_are_no_text_are_cut_at_the_limit() -> None:
    found, rest = feed([b"\x80" * (LIMIT_BYTES + 1)])
    assert found == [(b"\x80" * LIMIT_BYTES, False)]
    assert rest == b"\x80"


def test_a_line_byte_by_byte() -> None:
    found, rest = feed([b"%c" % byte for byte in b"one\ntwo\nthree"])
    assert found == [(b"one\n", True), (b"two\n", True)]
    assert rest == b"three"


# Chunks as a pipe gives them: mostly plain, with something hard now and then, cut anywhere.
STREAM = st.lists(
    st.sampled_from(
        [b"plain line\n", b"\n", b"no end", b'"quoted"\n', b"\ttab\n", b"\xc3\xa9\n", b"\xff\n", b"\0\n", b"\x7f\n"]
    )
    | st.sampled_from([n * LIMIT_BYTES + d for n in (1, 2) for d in (-1, 0, 1)]).map(lambda size: b"x" * size + b"\n"),
    max_size=30,
).map(b"".join)


@given(STREAM, st.lists(st.integers(1, 30) | st.integers(1, 200_000), max_size=12))
def test_chunks_become_the_lines_they_were(data: bytes, sizes: list[int]) -> None:
    encoder = Encoder()
    stored, raw_bytes, at = b"", 0, 0
    for size in [*sizes, len(data)]:
        if data[at : at + size]:
            parts, raw = encoder.feed(BEGINNING, data[at : at + size])
            block = b"".join(parts)
            assert block == b"" or block.endswith(b"\n")
            assert raw == sum(len(decode(line).raw()) for line in block.splitlines())
            stored += block
            raw_bytes += raw
            at += size
    lines = [decode(line) for line in stored.split(b"\n")[:-1]]
    assert b"".join(line.raw() for line in lines) + encoder.flush() == data
    assert all(len(line.raw()) <= LIMIT_BYTES + 1 for line in lines)
    assert {line.t for line in lines} <= {1769900399.25}


def test_plain_chunks_are_not_copied_line_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_arguments: object) -> bytes:
        raise AssertionError

    with monkeypatch.context() as patch:
        for name in ("encode_lines", "encode_piece"):
            patch.setattr(log_line, name, never)
        encoder = Encoder()
        assert encoder.feed(BEGINNING, b"begun ")[0] == []
        parts, raw = encoder.feed(BEGINNING, b"and ended\none more\nbegun")
    assert raw == len(b"begun and ended\none more\n")
    assert b"".join(parts) == encode_lines(BEGINNING, b"begun and ended\none more\n")
    assert encoder.flush() == b"begun"


@given(STREAM, st.lists(st.integers(1, 200_000), max_size=5))
def test_what_is_skipped_is_counted(data: bytes, sizes: list[int]) -> None:
    encoder = Encoder()
    skipped, at = 0, 0
    for size in [*sizes, len(data)]:
        lines, skipped_bytes = encoder.skip(data[at : at + size])
        assert bool(lines) == bool(skipped_bytes)
        skipped += skipped_bytes
        at += size
    assert skipped + len(encoder.flush()) == len(data)
