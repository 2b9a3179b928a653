"""Reading back what an OutputWriter made."""

from pathlib import Path

from supervisor.runtime.log_line import LogLine, decode
from supervisor.runtime.output import Stream
from supervisor.telemetry.bus import EventBus


def stored(directory: Path) -> list[LogLine]:
    """All lines, the oldest file first."""
    names = sorted((path.name for path in directory.iterdir()), key=lambda name: -int(name.partition("log.")[2] or 0))
    return [decode(line) for name in names for line in (directory / name).read_bytes().split(b"\n")[:-1]]


def written(directory: Path, stream: Stream) -> bytes:
    return b"".join(line.raw() for line in stored(directory) if line.s == stream)


def events(bus: EventBus) -> list[tuple[str, dict[str, object]]]:
    return [(record.event, record.fields) for record in bus._kept]
