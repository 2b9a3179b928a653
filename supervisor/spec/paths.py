"""Where things are: pure string work on an environment."""

import os.path
import re
from collections.abc import Mapping

_XDG_DEFAULTS = {
    "XDG_CONFIG_HOME": ".config",
    "XDG_STATE_HOME": ".local/state",
    "XDG_DATA_HOME": ".local/share",
    "XDG_CACHE_HOME": ".cache",
}
_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*)|)")


class PathError(ValueError):
    """A path that cannot be expanded; says why."""


def xdg(environ: Mapping[str, str], name: str) -> str | None:
    """An XDG base directory; None where it is unset and has no default. A relative one counts as unset, by its spec."""
    value = environ.get(name, "")
    if value.startswith("/"):
        return value
    home = environ.get("HOME", "")
    if name in _XDG_DEFAULTS and home.startswith("/"):
        return os.path.join(home, _XDG_DEFAULTS[name])
    return None


def runtime_dir(environ: Mapping[str, str], uid: int) -> str:
    """Where sockets live. Who uses the one under /tmp must check that it is the user's own and closed to others."""
    base = xdg(environ, "XDG_RUNTIME_DIR")
    if base is not None:
        return os.path.join(base, "nsvisor")
    return "/run/nsvisor" if uid == 0 else f"/tmp/nsvisor-{uid}"  # noqa: S108


def state_dir(environ: Mapping[str, str], uid: int) -> str:
    """Where state and logs live."""
    if uid == 0 and not environ.get("XDG_STATE_HOME", "").startswith("/"):
        return "/var/lib/nsvisor"
    base = xdg(environ, "XDG_STATE_HOME")
    return os.path.join(base, "nsvisor") if base is not None else f"/tmp/nsvisor-{uid}/state"  # noqa: S108


def control_socket(environ: Mapping[str, str], uid: int) -> str:
    """The control API's socket."""
    return os.path.join(runtime_dir(environ, uid), "control.sock")


def exec_socket(control: str) -> str:
    """Where commands are executed in workers, beside the control socket."""
    directory, name = os.path.split(control)
    return os.path.join(directory, "exec.sock" if name == "control.sock" else f"{name}.exec")


def config_candidates(environ: Mapping[str, str], uid: int) -> list[str]:
    """Where a configuration is looked for when none is named, in this order."""
    base = xdg(environ, "XDG_CONFIG_HOME")
    found = [os.path.join(base, "nsvisor", "nsvisor.toml")] if base is not None else []
    return [*found, "/etc/nsvisor/nsvisor.toml"] if uid == 0 else found


def expand(path: str, directory: str, environ: Mapping[str, str]) -> str:
    """The absolute path of `path` as written in a file of `directory`. PathError where it cannot be known.

    A leading `~`, `$HOME` and `$XDG_…` (also `${HOME}`) are expanded; `$$` is a dollar sign.
    """
    if path == "~" or path.startswith("~/"):
        path = _home(environ) + path[1:]
    elif path.startswith("~"):
        raise PathError("only ~ itself is expanded, not another user's home; write ./~ for a file of that name")
    expanded = _VARIABLE.sub(lambda match: _variable(match, environ), path)
    return os.path.normpath(os.path.join(directory, expanded))


def _home(environ: Mapping[str, str]) -> str:
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        raise PathError("$HOME is not set to an absolute path")
    return home


def _variable(match: re.Match[str], environ: Mapping[str, str]) -> str:
    if match.group() == "$$":
        return "$"
    name = match.group(1) or match.group(2)
    if name == "HOME":
        return _home(environ)
    if name is None or not name.startswith("XDG_"):
        raise PathError(f"{match.group()} is not expanded; only ~, $HOME and $XDG_… are, and $$ is a dollar sign")
    value = xdg(environ, name)
    if value is None:
        raise PathError(f"${name} is not set to an absolute path")
    return value
