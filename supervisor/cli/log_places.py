"""Where the logs are: as the daemon says, else as they lie in the state directory."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from supervisor.cli.common import ask
from supervisor.cli.group import Settings
from supervisor.cli.remembered import known_instances, last_incarnation, log_directory, matching

if TYPE_CHECKING:
    from supervisor.control.client import ControlClient
    from supervisor.control.failures import Refused
    from supervisor.control.models import InstanceView


class Places(NamedTuple):
    """The logs of what was asked for."""

    paths: Mapping[str, str]  # by instance; without those that keep no file
    incarnations: Mapping[str, int]  # of every instance: its last one
    records: str  # the daemon's own


def find(settings: Settings, names: Sequence[str]) -> Places:
    """The logs of these workers or instances, of all where none is named. UnknownName, NoDaemon."""
    from supervisor.control.failures import NoDaemon, Refused  # noqa: PLC0415
    from supervisor.control.models import InstanceView  # noqa: PLC0415

    async def question(client: "ControlClient") -> "tuple[list[InstanceView], list[InstanceView]]":
        views = await client.get("/v1/instances", list[InstanceView], [("name", name) for name in names])
        if any(view.log_path is not None for view in views):
            return views, views
        return views, await client.get("/v1/instances", list[InstanceView])  # where others have theirs

    try:
        views, others = ask(settings, question)
    except NoDaemon:
        if settings.socket is not None:
            raise
        return _in_state_directory(names)
    except Refused as refusal:
        if refusal.view.code != "unknown_name" or settings.socket is not None:
            raise
        return _of_removed(names, refusal)
    paths = {view.name: view.log_path for view in views if view.log_path is not None}
    directory = next((os.path.dirname(view.log_path) for view in others if view.log_path), log_directory())
    return Places(paths, {view.name: view.incarnation for view in views}, _records(directory))


def _in_state_directory(names: Sequence[str]) -> Places:
    directory = log_directory()
    found = matching(names, known_instances())
    paths = {name: path for name in found if os.path.exists(path := os.path.join(directory, f"{name}.log"))}
    return Places(paths, {name: last_incarnation(name) for name in found}, _records(directory))


def _of_removed(names: Sequence[str], refusal: "Refused") -> Places:
    """Workers that the configuration has no more leave their logs behind."""
    from supervisor.spec.names import UnknownName  # noqa: PLC0415

    try:
        return _in_state_directory(names)
    except UnknownName:
        raise refusal from None


def _records(directory: str) -> str:
    from supervisor.runtime.record_line import path_beside  # noqa: PLC0415

    return path_beside(directory)
