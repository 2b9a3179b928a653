import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from supervisor.spec.locate import DEEPEST, Lines, Path

TEXT = '''\
# comment with [brackets] and "quotes
[worker.api]               # a header
command = [
  "one", # not = a key
  "two",
]
restart.policy = "always"
"quoted key" = 1
'literal' = { inner = "}", "o\\u0064d" = [ 1, { deep = true } ] }
text = """
fake = "no key"
[worker.fake]
""" # after
after = \'\'\'
[[x]]\'\'\'
when = 1979-05-27 07:32:00
[[worker.api.mounts]]
type = "bind"
[[worker.api.mounts]]
type = "tmpfs"
[worker.api.mounts.nested]
x = 1
[worker."odd name".stop]
grace = 5
'''

PLACES: dict[Path, int] = {
    ("worker",): 2,
    ("worker", "api"): 2,
    ("worker", "api", "command"): 3,
    ("worker", "api", "command", 1): 5,
    ("worker", "api", "restart", "policy"): 7,
    ("worker", "api", "restart"): 7,
    ("worker", "api", "quoted key"): 8,
    ("worker", "api", "literal", "inner"): 9,
    ("worker", "api", "literal", "odd", 1, "deep"): 9,
    ("worker", "api", "text"): 10,
    ("worker", "api", "after"): 14,
    ("worker", "api", "when"): 16,
    ("worker", "api", "mounts", 0, "type"): 18,
    ("worker", "api", "mounts", 1, "type"): 20,
    ("worker", "api", "mounts", 1, "nested", "x"): 22,
    ("worker", "odd name"): 23,
    ("worker", "odd name", "stop", "grace"): 24,
    # What is not written has its table's line.
    ("worker", "api", "mounts", 1, "target"): 19,
    ("worker", "api", "missing"): 2,
}


def test_each_key_has_its_line() -> None:
    lines = Lines(TEXT)
    assert {path: lines.of(path) for path in PLACES} == PLACES
    assert lines.of(("other",)) is None
    assert ("worker", "fake") not in lines.lines


def test_what_is_written_twice() -> None:
    assert Lines("a = 1\n[b]\n[c]\n[b]\n").twice == (("b",), 2, 4)
    assert Lines("a.b = 1\n[x]\na.b = 2\n").twice is None
    assert Lines("[[b]]\nx = 1\n[[b]]\nx = 1\n").twice is None
    assert Lines("[a.b]\n[a]\n").twice is None


def test_no_toml_is_no_error() -> None:
    assert Lines("[[[").of(("a",)) is None
    assert Lines("a = 1\n= 2\nb = 3\n").lines == {("a",): 1}
    assert Lines("a = " + "[" * 5000).of(("a",)) == 1


_KEYS = st.text(min_size=1, max_size=6)
_SCALARS = st.one_of(st.integers(), st.booleans(), st.text(max_size=20))
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=8
)


def basic(text: str) -> str:
    return '"' + "".join(f"\\U{ord(letter):08x}" if not letter.isalnum() else letter for letter in text) + '"'


def multiline(text: str) -> str:
    return '"""\n' + "".join(letter if letter in "\n= []{}#" else basic(letter)[1:-1] for letter in text) + '"""'


def written(value: Any, draw: st.DrawFn) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            return multiline(value) if draw(st.booleans()) else basic(value)
        case list():
            gap = draw(st.sampled_from(["", "\n", " # ] , \n"]))
            return "[" + "".join(f"{gap}{written(item, draw)}{gap}," for item in value) + "]"
        case _:
            return "{" + ", ".join(f"{basic(key)} = {written(item, draw)}" for key, item in value.items()) + "}"


@st.composite
def documents(draw: st.DrawFn) -> str:
    text = ""
    for name, table in draw(st.dictionaries(_KEYS, st.dictionaries(_KEYS, _VALUES, max_size=4), max_size=4)).items():
        header = basic(name)
        text += f"[[{header}]]\n" if draw(st.booleans()) else f"[ {header} ] # ]\n"
        for key, value in table.items():
            text += "\n" * draw(st.integers(0, 2)) + f"{basic(key)} = {written(value, draw)}\n"
    return text


def paths(data: Any, path: Path = ()) -> Iterator[Path]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from paths(value, (*path, key))


@given(documents())
def test_every_key_is_found_on_its_line(text: str) -> None:
    lines = Lines(text)
    for path in paths(tomllib.loads(text)):
        if len(path) > DEEPEST:
            continue
        assert path in lines.lines
        if isinstance(path[-1], str):
            assert basic(path[-1]) in text.split("\n")[lines.lines[path] - 1]
    assert lines.twice is None
