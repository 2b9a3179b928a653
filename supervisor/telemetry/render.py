"""One record as one line of JSON: `timestamp`, `level`, `event`, then the fields as they were given."""

import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder(enc_hook=repr)


def timestamp(seconds: float) -> str:
    """ISO 8601 in UTC with microseconds: 2026-01-31T23:59:59.000001Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:26] + "Z"


def stamp(_logger: object, _method: str, fields: dict[str, Any]) -> dict[str, Any]:
    """A structlog processor: the time, from `timestamp` in seconds since the epoch where it is given."""
    fields["timestamp"] = timestamp(fields.get("timestamp") or time.time())
    return fields


def to_json(_logger: object, method: str, fields: dict[str, Any]) -> bytes:
    """A structlog processor, the last: the whole as a line."""
    return line({"timestamp": fields.pop("timestamp"), "level": method, "event": fields.pop("event"), **fields})


def line(record: dict[str, Any]) -> bytes:
    """A record as a line of JSON, whatever is in it."""
    try:
        return _encoder.encode(record) + b"\n"
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _encoder.encode(plain(record)) + b"\n"


def plain(value: object, depth: int = 8) -> Any:
    """A copy that JSON can hold: bytes that are no UTF-8 in hexadecimal, everything unknown as its repr."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape" if _escaped(value) else "replace").decode(
            "utf-8", "backslashreplace"
        )
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth and isinstance(value, Mapping):
        return {
            str(plain(key if isinstance(key, str) else repr(key))): plain(one, depth - 1) for key, one in value.items()
        }
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one, depth - 1) for one in value]
    return plain(repr(value))


def _escaped(text: str) -> bool:
    """Whether its lone surrogates all stand for bytes (os.fsdecode makes such)."""
    return not any("\ud800" <= letter < "\udc80" or "\udcff" < letter <= "\udfff" for letter in text)
