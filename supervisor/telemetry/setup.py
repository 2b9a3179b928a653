"""Where the program's own records go, one way of three and never two.

The journal, with real fields, where standard error leads there; words where that is a terminal; else JSON lines on it.
"""

import logging
import os
import time
from collections.abc import Mapping
from typing import Any, Protocol

from supervisor.telemetry.journal import SOCKET, JournalSocket, is_journal
from supervisor.telemetry.journal_record import JournalWriter
from supervisor.telemetry.light import structlog
from supervisor.telemetry.render import stamp, to_json
from supervisor.telemetry.stderr import RecordWriter

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class Stream(Protocol):
    """Anything with a descriptor."""

    def fileno(self) -> int:
        """The descriptor."""


def configure(
    level: str = "info",
    stream: Stream | None = None,
    force_json: bool = False,
    environ: Mapping[str, str] = os.environ,
    journal: str = SOCKET,
) -> None:
    """Set structlog up, and route what libraries log or warn about into it. May be called again.

    Without a stream records go to descriptor 2. A terminal gets words, in colour but for NO_COLOR or a dumb TERM.
    journal: the socket of journald, for a stream that leads there ($JOURNAL_STREAM).
    """
    fd = 2 if stream is None else stream.fileno()
    if not force_json and is_journal(fd, environ):
        _configure(level, [structlog.processors.format_exc_info, _as_argument], _journal_writer(fd, journal))
        return
    words = not force_json and _is_terminal(fd)
    colours = words and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    render: list[Any] = [structlog.processors.format_exc_info, to_json]
    if words:
        render = [
            structlog.processors.add_log_level,
            _without_none,
            structlog.dev.ConsoleRenderer(
                colors=colours, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
            ),
            _line,
        ]
    processors = [stamp, *render]
    _configure(level, processors, RecordWriter(fd, lambda lost: _note(processors, lost)))


def _configure(level: str, processors: list[Any], writer: RecordWriter | JournalWriter) -> None:
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=True,
    )
    _bridge_logging()


def _journal_writer(fd: int, path: str) -> JournalWriter:
    """Records go to the descriptor as JSON lines where the journal takes none."""
    return JournalWriter(_journals.setdefault(path, JournalSocket(path)), _JsonLines(fd))


class _JsonLines:
    """For records that are not rendered yet."""

    def __init__(self, fd: int) -> None:
        self._writer = RecordWriter(fd, lambda lost: _note([stamp, to_json], lost))

    def write(self, level: str, fields: dict[str, Any]) -> None:
        """Write one record, or count it as lost."""
        self._writer.write(to_json(None, level, stamp(None, level, dict(fields))))

    @property
    def lost(self) -> int:
        """Records, since the last one that was written."""
        return self._writer.lost

    @lost.setter
    def lost(self, lost: int) -> None:
        self._writer.lost = lost


_journals: dict[str, JournalSocket] = {}  # one connection, however often the level changes


def _as_argument(_logger: object, _method: str, fields: dict[str, Any]) -> tuple[tuple[dict[str, Any]], dict[str, Any]]:
    """A structlog processor, the last: the record as it is."""
    return (fields,), {}


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False


def _note(processors: list[Any], lost: int) -> bytes:
    record: Any = {"event": "daemon.records_lost", "timestamp": time.time(), "lost": lost}
    for processor in processors:
        record = processor(None, "warning", record)
    return bytes(record)


def _without_none(_logger: object, _method: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _line(_logger: object, _method: str, text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace") + b"\n"


class _Bridge(logging.Handler):
    """The standard library's logging, into structlog: else its last resort would write bare text among the JSON."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        method = {30: "warning", 40: "error"}.get(record.levelno, "critical" if record.levelno > 40 else "info")
        fields: dict[str, Any] = {"logger": record.name, "message": message}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        getattr(structlog.get_logger(), method)("library.warned", **fields)


def _bridge_logging() -> None:
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge(logging.WARNING))
    logging.captureWarnings(capture=True)
