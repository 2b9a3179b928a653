"""What daemons left in the state directory: read by verbs that work without one."""

import os
from collections.abc import Collection, Iterable, Sequence

import msgspec

from supervisor.spec.records import Remembered


def log_directory() -> str:
    """Where the logs of this user's daemon are."""
    return os.path.join(_state_directory(), "logs")


def known_instances() -> list[str]:
    """Every instance that has a log or a history there, by name."""
    found = set()
    for directory, ending in ((log_directory(), ".log"), (_history_directory(), ".json")):
        found |= {name.removesuffix(ending) for name in _listed(directory) if name.endswith(ending)}
    return sorted(found)


def matching(names: Sequence[str], present: Collection[str]) -> list[str]:
    """Those of `present` that are one of these instances or workers; all where none is named. UnknownName."""
    from supervisor.spec.names import UnknownName, nearest  # noqa: PLC0415

    if not names:
        return sorted(present)
    found: dict[str, None] = {}
    for name in names:
        mine = [one for one in present if one == name or (one.rpartition("-")[0] == name and _is_index(one))]
        if not mine:
            raise UnknownName(name, nearest(name, present))
        found |= dict.fromkeys(sorted(mine))
    return list(found)


def remembered(instance: str) -> Remembered:
    """Its launches and exits; none where the file is absent or of no use."""
    try:
        with open(os.path.join(_history_directory(), f"{instance}.json"), "rb") as file:
            return msgspec.json.decode(file.read(), type=Remembered)
    except (OSError, msgspec.DecodeError, RecursionError):
        return Remembered()


def last_incarnation(instance: str) -> int:
    """The highest number that was given out; 0 where none is known."""
    return remembered(instance).incarnation


def _state_directory() -> str:
    from supervisor.spec.paths import state_dir  # noqa: PLC0415

    return state_dir(os.environ, os.getuid())


def _history_directory() -> str:
    return os.path.join(_state_directory(), "history")


def _listed(directory: str) -> Iterable[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return ()
    except OSError as error:
        import click  # noqa: PLC0415

        raise click.ClickException(f"cannot read {directory}: {error.strerror}") from None


def _is_index(instance: str) -> bool:
    return instance.rpartition("-")[2].isdigit()
