"""How single values are written: types with their bounds, units and forms. And the base of every table.

`x-unit` and `x-form` tell the loader how a value is written; a description says what is allowed.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

DURATION = {"x-unit": "duration"}
SIZE = {"x-unit": "size"}
LONGEST_S = 1_000_000_000  # some 31 years: no timer needs more

Seconds = Annotated[float, Meta(ge=0, le=LONGEST_S, extra_json_schema=DURATION)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=LONGEST_S, extra_json_schema=DURATION)]
Bytes = Annotated[int, Meta(ge=0, le=2**63 - 1, extra_json_schema=SIZE)]
HostPath = Annotated[str, Meta(min_length=1, description="a path on the host", extra_json_schema={"x-form": "path"})]
InnerPath = Annotated[
    str,
    Meta(description='an absolute path inside the sandbox, such as "/srv"', extra_json_schema={"x-form": "inner-path"}),
]
SignalName = Annotated[
    str, Meta(description='a signal\'s name, such as "SIGTERM" or "TERM"', extra_json_schema={"x-form": "signal"})
]
UtsName = Annotated[
    str,
    Meta(description="letters, digits, hyphens and dots, at most 64 bytes", extra_json_schema={"x-form": "uts-name"}),
]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """The base of every table."""
