"""The quick way says what click would have said."""

import os
from typing import Any

import click.shell_completion
import pytest

from supervisor.cli import completing
from supervisor.cli.group import VERBS, cli
from tests.cli.conftest import Served


def by_click(shell: str, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    kind = click.shell_completion.get_completion_class(shell)
    assert kind is not None
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    complete: Any = kind(cli, {}, "nsvisor", completing.VARIABLE)
    text: str = complete.complete()
    return f"{text}\n" if text else ""


def asked(shell: str, words: str) -> dict[str, str]:
    *before, last = words.split(" ")
    at = last if shell == "fish" else str(len(before))
    return {completing.VARIABLE: f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": at}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    "words",
    [
        "nsvisor ",
        "nsvisor st",
        "nsvisor x",
        *(f"nsvisor {name} w" for name, verb in VERBS.items() if verb.names),
        "nsvisor stop web-0 ",
        "nsvisor stop web-0 web",
        "nsvisor explain ",
        "nsvisor ps none",
    ],
)
def test_as_click_says(nsv: Served, shell: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {**asked(shell, words), "NSVISOR_SOCKET": nsv.path}
    expected = by_click(shell, environ, monkeypatch)
    assert completing.answer() == expected
    assert (expected != "") == (not words.endswith((" x", "none")))


@pytest.mark.parametrize(
    "words",
    [
        "nsvisor --so",
        "nsvisor ps --",
        "nsvisor --socket /x stop ",
        "nsvisor plan web ",
        "nsvisor check ",
        "nsvisor nay ",
        "nsvisor 'st",
    ],
)
def test_left_to_click(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in asked("bash", words).items():
        monkeypatch.setenv(name, value)
    assert completing.answer() is None


def test_every_verb_that_takes_names_is_marked() -> None:
    """And no other."""
    context = click.Context(cli)
    for name, verb in VERBS.items():
        command = cli.get_command(context, name)
        assert command is not None
        arguments = [one for one in command.params if isinstance(one, click.Argument)]
        named = [one for one in arguments if one.name in ("name", "names")][:1]
        assert verb.names == (named[0].nargs if named else 0), name


def test_no_daemon_no_names(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    for name, value in {**asked("bash", "nsvisor stop w"), "NSVISOR_SOCKET": f"{tmp_path}/none.sock"}.items():
        monkeypatch.setenv(name, value)
    assert completing.answer() == ""
