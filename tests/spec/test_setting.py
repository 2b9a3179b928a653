"""KEY=VALUE on a command line: the value has the type that the key wants."""

from typing import Any

import pytest

from supervisor.spec.forms import FormError
from supervisor.spec.model import Mount, Rootfs
from supervisor.spec.setting import key_of, value_of, word_of


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("hostname", ("hostname",)),
        ("limits.memory", ("limits", "memory")),
        ('sysctls."net.ipv4.ip_forward"', ("sysctls", "net.ipv4.ip_forward")),
        (" limits . pids ", ("limits", "pids")),
    ],
)
def test_a_key(text: str, path: tuple[str, ...]) -> None:
    assert key_of(text) == path


@pytest.mark.parametrize("text", ["", "a b", "a.", "[a]", "a = 1\nb", "'", "x = { y"])
def test_no_key(text: str) -> None:
    with pytest.raises(FormError):
        key_of(text)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("hostname", "box", "box"),
        ("hostname", '"box"', "box"),
        ("hostname", "123", "123"),
        ("hostname", "true", "true"),
        ("user", "0", 0),
        ("user", "self", "self"),
        ("init", "false", False),
        ("limits.memory", "64MiB", "64MiB"),
        ("limits.memory", "65536", 65536),
        ("limits.cpu", "1.5", 1.5),
        ("limits.cpu", "50%", "50%"),
        ("limits.nofile", "10:20", "10:20"),
        ("limits.pits", "5", 5),
        ("namespaces.time", "true", True),
        ("namespaces.uts", "pid:1", "pid:1"),
        ("setup_timeout", "5", 5),
        ("env.PORT", "80", "80"),
        ("env.PORT.x", "80", 80),
        ("env", '{ A = "1" }', {"A": "1"}),
        ("sysctls.a", "1", "1"),
        ("personality", "LINUX32", ["LINUX32"]),
        ("personality", '["LINUX32", "UNAME26"]', ["LINUX32", "UNAME26"]),
        ("groups", "27", [27]),
        ("groups", "adm", ["adm"]),
        ("command", "12", ["12"]),
        ("masked_paths", "[]", []),
        ("security.bounding", "KILL", ["KILL"]),
        ("mounts", '[{ type = "tmpfs", target = "/x" }]', [{"type": "tmpfs", "target": "/x"}]),
        ("mounts", "moon", "moon"),
        ("hostname", "a\nb = 1", "a\nb = 1"),
        ("hostname", "1\nb = 1", "1\nb = 1"),
        ("hostname", "", ""),
        ("no.such.key", "text", "text"),
    ],
)
def test_a_value(key: str, text: str, value: Any) -> None:
    found = value_of(key_of(key), text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("struct", "key", "text", "value"),
    [
        (Mount, "content", '"5"', '"5"'),
        (Mount, "content", "5", "5"),
        (Mount, "size", "64KiB", "64KiB"),
        (Mount, "size", "65536", "65536"),
        (Mount, "mode", "0700", "0700"),
        (Mount, "optional", "true", True),
        (Mount, "optional", "maybe", "maybe"),
        (Mount, "moon", "1", "1"),
        (Rootfs, "writable", "false", False),
    ],
)
def test_a_word(struct: Any, key: str, text: str, value: Any) -> None:
    found = word_of(struct, key, text)
    assert (type(found), found) == (type(value), value)
