"""Completion of verbs and of names without click, whose import alone takes as long as Python's start.

Options and their values are click's to complete, and so is whatever is quoted. The words and the form of the answer are
those of click's scripts (click.shell_completion): tests compare both.
"""

from __future__ import annotations

import os

from supervisor.cli.verbs import MANY, VERBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "_NSVISOR_COMPLETE"
TIMEOUT_S = 1.0
UNUSUAL = frozenset("\"'\\")
INSTANCES = b"GET /v1/instances HTTP/1.1\r\nhost: nsvisor\r\nconnection: close\r\naccept: application/json\r\n\r\n"


def answer() -> str | None:
    """What to print for the shell; None where it is for click to say."""
    shell, _, what = os.environ.get(VARIABLE, "").partition("_")
    text = os.environ.get("COMP_WORDS", "")
    if what != "complete" or shell not in FORMS or UNUSUAL.intersection(text):
        return None
    begun = _begun(shell, text.split()[1:])
    if begun is None:
        return None
    words, incomplete = begun
    if any(word.startswith("-") for word in (*words, incomplete)):
        return None
    if not words:
        offered = {name: verb.summary for name, verb in VERBS.items()}
    else:
        verb = VERBS.get(words[0])
        if verb is None or not verb.names or (verb.names != MANY and len(words) > verb.names):
            return None
        offered = dict.fromkeys(names(os.environ.get("NSVISOR_SOCKET") or _usual_socket(), TIMEOUT_S), "")
    form = FORMS[shell]
    return "".join(form(name, about) for name, about in offered.items() if name.startswith(incomplete))


def _begun(shell: str, words: list[str]) -> tuple[list[str], str] | None:
    """The words before the one that is completed, and what there is of it."""
    at = os.environ.get("COMP_CWORD", "")
    if shell == "fish":
        if UNUSUAL.intersection(at) or at != at.strip():
            return None
        return (words[:-1] if at and words and words[-1] == at else words), at
    if not at.isdecimal() or int(at) < 1:
        return None
    number = int(at) - 1
    return words[:number], words[number] if number < len(words) else ""


FORMS: dict[str, Callable[[str, str], str]] = {
    "bash": lambda name, _: f"plain,{name}\n",
    "zsh": lambda name, about: f"plain\n{name}\n{about or '_'}\n",
    "fish": lambda name, about: f"plain,{name}\t{about}\n" if about else f"plain,{name}\n",
}


def _usual_socket() -> str:
    from supervisor.spec.paths import control_socket  # noqa: PLC0415

    return control_socket(os.environ, os.getuid())


def names(path: str, timeout_s: float) -> list[str]:
    """Workers and instances of the daemon at this socket; none without one. The prompt is no place to say why."""
    import socket  # noqa: PLC0415

    try:
        with socket.socket(socket.AF_UNIX) as connected:
            connected.settimeout(timeout_s)
            connected.connect(path)
            connected.sendall(INSTANCES)
            pieces = []
            while piece := connected.recv(1 << 16):
                pieces.append(piece)
    except OSError:
        return []
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0] + b" ":
        return []
    from json import JSONDecodeError, loads  # noqa: PLC0415

    try:
        views = loads(body)
    except (JSONDecodeError, UnicodeDecodeError):
        return []
    return list(dict.fromkeys(name for view in views for name in (view["worker"], view["name"])))
