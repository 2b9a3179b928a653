"""How the daemon, the keeper and nsinit talk: messages, plans and frames as NUL-separated tokens.

No value that reaches a system call can hold a NUL, so NUL is the only separator and nothing is escaped.
Strings travel as UTF-8 with surrogate escapes (what os.fsencode does), numbers in decimal.
"""

import struct

PROTOCOL = 3
MAX_MESSAGE_BYTES = 64 * 1024
# What a sandbox has not told yet stands behind the plan, in the same file: how far it goes, then a `phases` frame
# without its first word.
UNTOLD_BYTES = 4096
UNTOLD_HEAD = struct.Struct("=I")
_PAGE_BYTES = 64 * 1024  # the largest of any machine


class WireError(ValueError):
    """A message that does not follow the protocol."""


def pack(*tokens: bytes | str | int) -> bytes:
    """One message. ValueError where a token holds a NUL."""
    encoded = []
    for token in tokens:
        raw = (
            token
            if isinstance(token, bytes)
            else (token if isinstance(token, str) else str(int(token))).encode("utf-8", "surrogateescape")
        )
        if b"\0" in raw:
            raise WireError("a token holds a NUL")
        encoded.append(raw)
    return b"\0".join(encoded)


def unpack(message: bytes) -> list[str]:
    """The tokens of one message, as strings."""
    return message.decode("utf-8", "surrogateescape").split("\0")


def encode_plan(steps: list[tuple[str, tuple[bytes | str | int, ...]]]) -> bytes:
    """A plan: for each step its phase, the number of its arguments, and those."""
    tokens: list[bytes | str | int] = []
    for phase, arguments in steps:
        tokens += (phase, len(arguments), *arguments)
    return pack(*tokens)


def untold_at(plan_bytes: int) -> int:
    """Where in the plan's file that begins: on a page of its own."""
    return -(-plan_bytes // _PAGE_BYTES) * _PAGE_BYTES


def untold(area: bytes) -> list[str]:
    """The frame that was not sent; empty where all was told. WireError."""
    end = UNTOLD_HEAD.unpack_from(area)[0] if len(area) >= UNTOLD_HEAD.size else 0
    if end > len(area):
        raise WireError("what is untold ends outside of its place")
    return unpack(b"phases" + area[UNTOLD_HEAD.size : end]) if end else []


def decode_plan(data: bytes) -> list[tuple[str, list[str]]]:
    """The steps of encode_plan. WireError where the counts do not add up."""
    tokens = unpack(data)
    steps = []
    at = 0
    try:
        while at < len(tokens):
            end = at + 2 + int(tokens[at + 1])
            if end > len(tokens) or end < at + 2:
                raise WireError("the plan ends inside a step")
            steps.append((tokens[at], tokens[at + 2 : end]))
            at = end
    except (IndexError, ValueError) as error:
        raise WireError(f"not a plan: {error}") from error
    return steps
