"""Where a key of a loaded fleet is written, for what is found wrong with it after it was loaded."""

from collections.abc import Sequence

from supervisor.spec.errors import ConfigError
from supervisor.spec.locate import Path
from supervisor.spec.model import Fleet
from supervisor.spec.show import show_key
from supervisor.spec.source import ABSENT, Source, read_source


def sources_of(fleet: Fleet) -> list[Source]:
    """Its files, read again; without those that were changed since and cannot be read now."""
    sources = []
    for file in fleet.files:
        try:
            sources.append(read_source(file))
        except ConfigError:
            continue  # the line is not known then
    return sources


def place(sources: Sequence[Source], fleet: Fleet, name: str, path: Path) -> tuple[str, int | None, str]:
    """File, line and key of an effective worker's key, as far as the files still tell."""
    prefixes: tuple[Path, ...] = (("worker", name), ("defaults",))
    for prefix in prefixes:
        for source in sources:
            if source.get((*prefix, *path)) is not ABSENT:
                return source.file, source.line((*prefix, *path)), show_key((*prefix, *path))
    return (fleet.files[0] if fleet.files else "nsvisor"), None, show_key(("worker", name, *path))
