"""config.json: read, translated, and told about by its own keys and lines."""

import os
from typing import Any

from supervisor.spec.bundle import json_lines
from supervisor.spec.bundle.linux import linux, namespaces
from supervisor.spec.bundle.mounts import mounts
from supervisor.spec.bundle.process import process
from supervisor.spec.bundle.translation import Translation, literal, says_nothing, to
from supervisor.spec.errors import ConfigError, Problem
from supervisor.spec.locate import Path
from supervisor.spec.show import show_key
from supervisor.spec.source import Source, read_text


class BundleSource(Source):
    """A worker's table made from config.json, whose problems name what config.json says."""

    def __init__(self, directory: str, worker: str) -> None:
        """ConfigError where it cannot be read, or asks for what there is not."""
        self.file = self.path = os.path.join(directory, "config.json")
        self.directory = directory
        self.text = read_text(self.file)
        self._prefix = ("worker", worker)
        try:
            config, self._places = json_lines.parse(self.text)
        except json_lines.JsonError as error:
            raise ConfigError([Problem(self.file, error.line, "", str(error))]) from None
        self._translation = _translate(config, directory)
        self.data = {"worker": {worker: self._translation.table}}
        if self._translation.refused:
            raise ConfigError(self._refusal(*refused) for refused in self._translation.refused)

    def line(self, path: Path) -> int | None:
        """The line in config.json of what a key comes from."""
        return self._line_of(self._place(path))

    def name(self, path: Path) -> str:
        """What config.json calls it."""
        return show_key(self._place(path))

    def _place(self, path: Path) -> Path:
        """The place of a key or of the nearest table around it."""
        key = path[len(self._prefix) :]
        for end in range(len(key), 0, -1):
            if key[:end] in self._translation.places:
                return self._translation.places[key[:end]]
        return ()

    def _line_of(self, place: Path) -> int | None:
        for end in range(len(place), 0, -1):
            if place[:end] in self._places:
                return self._places[place[:end]]
        return None

    def _refusal(self, place: Path, message: str, allowed: str | None) -> Problem:
        return Problem(self.file, self._line_of(place), show_key(place), message, None, allowed)


def _translate(config: Any, directory: str) -> Translation:
    translation = Translation(directory)
    translation.each(_MEMBERS, config, ())
    if not isinstance(config, dict):
        return translation
    for key, value in (("ociVersion", config.get("ociVersion")), ("root", config.get("root"))):
        if value in (None, {}):
            translation.refuse((key,), "missing")
    listed = config["linux"].get("namespaces") if isinstance(config.get("linux"), dict) else None
    namespaces(translation, listed or [], ("linux", "namespaces"))
    return translation


def _version(translation: Translation, value: Any, place: Path) -> None:
    if not (isinstance(value, str) and value.startswith("1.")):
        translation.refuse(place, "not supported", 'version 1, such as "1.0.2"')


def _root(translation: Translation, value: Any, place: Path) -> None:
    def path(_: Translation, written: Any, where: Path) -> None:
        if translation.is_a(str, written, where, "a path"):
            translation.put(("rootfs", "path"), literal(os.path.join(translation.directory, written)), where)

    translation.put(("rootfs", "kind"), "dir", place)
    if isinstance(value, dict):
        translation.put(("rootfs", "writable"), value.get("readonly", False) is not True, (*place, "readonly"))
    translation.each({"path": path, "readonly": says_nothing}, value, place)


_MEMBERS = {
    "ociVersion": _version,
    "root": _root,
    "process": process,
    "mounts": mounts,
    "linux": linux,
    "hostname": to("hostname"),
    "domainname": to("domainname"),
    "annotations": says_nothing,
}
