"""A number that tells specs apart by what a launch is made of, from one version of the program to the next."""

import zlib
from functools import cache
from typing import Any

import msgspec

from supervisor.policy.diff import FLEET_KEYS, LIVE_KEYS
from supervisor.spec.instances import notify_variables
from supervisor.spec.model import Worker


def digest(worker: Worker) -> int:
    """CRC-32 of what a reload would launch anew for, where it is not the default.

    Defaults do not count: a newer program has more keys, and an upgrade is to restart nobody for them.
    """
    built_in = {key: value for key, value in _told(worker).items() if key not in LIVE_KEYS | FLEET_KEYS}
    if (notify := notify_variables(worker)) is not None:
        built_in["notify"] = notify
    return zlib.crc32(msgspec.json.encode(built_in, order="sorted"))


def _told(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        tag = type(value).__struct_config__.tag
        return {
            **({} if tag is None else {"": tag}),
            **{
                name: _told(one)
                for key, name, default in _fields(type(value))
                if (one := getattr(value, key)) != default
            },
        }
    if isinstance(value, tuple | list):
        return [_told(one) for one in value]
    if isinstance(value, dict):
        return {key: _told(one) for key, one in value.items()}
    return msgspec.to_builtins(value)


@cache
def _fields(kind: type[msgspec.Struct]) -> list[tuple[str, str, Any]]:
    """Attribute, key and default; a default that is made anew each time is equal to the next one."""
    found = []
    for field in msgspec.structs.fields(kind):
        made = field.default_factory
        default = field.default if made is msgspec.NODEFAULT else made()
        found.append((field.name, field.encode_name, default))
    return found
