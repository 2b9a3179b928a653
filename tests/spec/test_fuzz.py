"""Whatever is written, it loads or is refused: never a traceback."""

import contextlib
import datetime as dt
from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.spec import env_file
from supervisor.spec.convert import fields_of
from supervisor.spec.errors import ConfigError
from supervisor.spec.load import load_text
from supervisor.spec.model import Fleet, Supervisor, Worker
from tests.spec.problems import ENVIRON
from tests.spec.test_load import WHOLE


def try_load(text: str) -> Fleet | None:
    try:
        return load_text(text, "f.toml", ENVIRON)
    except ConfigError as error:
        problems = error.problems
    assert problems
    for problem in problems:
        assert problem.message
        assert str(problem).isprintable()
        assert problem.line is None or 1 <= problem.line <= text.count("\n") + 1
    return None


@given(st.text(st.characters(codec=None)))
def test_any_text(text: str) -> None:
    try_load(text)


@given(
    st.lists(st.sampled_from(sorted(set("[]{}=.,#\"'\n\\ -_") | {"worker", "a", "[[", "]]", '"""', "1", "restart"})))
)
def test_any_tokens(tokens: list[str]) -> None:
    try_load("".join(tokens))


@given(st.integers(0, len(WHOLE)), st.integers(0, 30), st.text(max_size=8))
def test_any_damage(start: int, length: int, text: str) -> None:
    try_load(WHOLE[:start] + text + WHOLE[start + length :])


def keys(struct: type[msgspec.Struct]) -> Iterable[str]:
    for name, field in fields_of(struct).items():
        yield name
        if field.struct is not None:
            yield from keys(field.struct)


KEYS = st.sampled_from(sorted({*keys(Worker), *keys(Supervisor), "health", "a", "odd key", ""}))
WORDS = [
    "a", "b", "b-0", "worker:a", "worker:b-1", "path:x", "pid:1", "10s", "1MiB", "unlimited", "bind", "tmpfs", "/x",
    "~/x", "$HOME", "TERM", "tcp", "a:1", "dir", "host", "0:0:1", "always", "chown", "overlay", "\0", "\x1b", "{index}",
]  # fmt: skip
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=10),
    st.integers(),
    st.sampled_from([0, 1, 255, 10**400, -1]),
    st.floats(),
    st.booleans(),
    st.just(dt.date(2001, 2, 3)),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=6
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=5)


def toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return hex(value) if value >= 0 else str(value)
        case float() | dt.date():
            return str(value)
        case str():
            return '"' + "".join(f"\\U{ord(letter):08x}" for letter in value) + '"'
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case _:
            return "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"


@settings(max_examples=300)
@given(TABLES, TABLES, TABLES, TABLES)
def test_any_values(supervisor: Any, defaults: Any, one: Any, two: Any) -> None:
    tables = {"supervisor": supervisor, "defaults": {"command": ["x"], **defaults}, "worker": {"a": one, "b": two}}
    fleet = try_load("\n".join(f"{key} = {toml(table)}" for key, table in tables.items()))
    if fleet is not None:
        assert list(fleet.workers) == ["a", "b"]


@given(st.text(st.sampled_from("AB=\"'\\ \n#;\t\0x")))
def test_any_environment_file(text: str) -> None:
    with contextlib.suppress(env_file.EnvFileError):
        for name, value in env_file.parse(text).items():
            assert name
            assert "\0" not in name + value
