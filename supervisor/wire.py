"""How the daemon, the keeper and nsinit talk: messages, plans and frames as NUL-separated tokens.

No value that reaches a system call can hold a NUL, so NUL is the only separator and nothing is escaped.
Strings travel as UTF-8 with surrogate escapes (what os.fsencode does), numbers in decimal.
"""

PROTOCOL = 2
MAX_MESSAGE_BYTES = 64 * 1024


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
