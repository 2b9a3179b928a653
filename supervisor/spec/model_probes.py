"""When a worker is ready, and whether it is healthy: what probes it, how often, and what follows."""

from typing import Annotated, Literal

from msgspec import Meta, field

from supervisor.spec.fields import PositiveSeconds, Record, Seconds

TcpAddress = Annotated[
    str,
    Meta(
        description='"HOST:PORT", such as "127.0.0.1:8080" or "[::1]:8080"', extra_json_schema={"x-form": "tcp-address"}
    ),
]
HttpUrl = Annotated[
    str,
    Meta(
        description='"http://HOST:PORT/PATH", such as "http://127.0.0.1:8080/healthz"',
        extra_json_schema={"x-form": "http-url"},
    ),
]
HttpStatus = Annotated[int, Meta(ge=100, le=599)]
Pattern = Annotated[
    str,
    Meta(
        min_length=1,
        description='a regular expression, such as "listening on .*:[0-9]+"',
        extra_json_schema={"x-form": "pattern"},
    ),
]
Retries = Annotated[int, Meta(ge=1, le=1000)]


class Ready(Record, frozen=True):
    """When a running worker counts as ready."""

    kind: Literal["started", "tcp", "http", "command", "notify", "log"] = "started"
    address: TcpAddress | None = None  # kind = tcp
    url: HttpUrl | None = None  # kind = http
    status: HttpStatus | None = None  # kind = http; None: 200 to 299
    command: tuple[str, ...] = ()  # kind = command
    pattern: Pattern | None = None  # kind = log
    timeout_s: PositiveSeconds = field(default=30.0, name="timeout")
    interval_s: PositiveSeconds = field(default=0.1, name="interval")
    retries: Retries | None = None  # failed probes in a row; None: until the time-out
    start_period_s: Seconds = field(default=0.0, name="start_period")  # failed probes in it do not count


class Health(Record, frozen=True):
    """Whether a worker that was ready still answers."""

    kind: Literal["none", "tcp", "http", "command", "notify"] = "none"
    address: TcpAddress | None = None
    url: HttpUrl | None = None
    status: HttpStatus | None = None
    command: tuple[str, ...] = ()
    interval_s: PositiveSeconds = field(default=10.0, name="interval")
    timeout_s: PositiveSeconds = field(default=5.0, name="timeout")  # of one probe; notify: between two WATCHDOG=1
    retries: Retries = 3  # failed probes in a row that make it unhealthy
    start_period_s: Seconds = field(default=0.0, name="start_period")
    on_failure: Literal["restart", "report"] = "restart"
