"""Addresses on a bridge: nobody's twice, kept while the instance is there, free once it has gone."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.policy.addresses import POOLS, allot, choose

NET = IPv4Network("10.7.0.0/29")  # six hosts, of which the first is the bridge's
RESERVED = {"10.7.0.1": "the bridge's"}
NAMES = ["web-0", "web-1", "db", "mail", "queue", "cron", "late"]
FIXED = st.sampled_from([None, None, None, "10.7.0.2", "10.7.0.5", "10.7.0.6"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), FIXED, max_size=7), min_size=1, max_size=6))
def test_never_twice_and_kept(configurations: list[dict[str, str | None]]) -> None:
    book: dict[str, str] = {}
    for wanted in configurations:
        found = allot(book, wanted, NET, RESERVED)
        assert found.addresses.keys() | found.errors.keys() == wanted.keys()
        assert not found.addresses.keys() & found.errors.keys()
        given_out = list(found.addresses.values())
        assert len(given_out) == len(set(given_out))
        assert all(IPv4Address(one) in NET.hosts() for one in given_out)
        assert "10.7.0.1" not in given_out
        for name, fixed in wanted.items():
            if fixed is not None:
                assert found.addresses.get(name) == fixed or found.errors[name][0] == "EADDRINUSE"
            elif name in book:
                assert found.addresses[name] == book[name]
            elif name in found.errors:
                assert len(given_out) == 5
        book = found.addresses


def test_the_lowest_that_is_free() -> None:
    found = allot({"gone": "10.7.0.2", "db": "10.7.0.3"}, dict.fromkeys(["a", "db", "b"]), NET, RESERVED, {"10.7.0.4"})
    assert found.addresses == {"db": "10.7.0.3", "a": "10.7.0.2", "b": "10.7.0.5"}


@pytest.mark.parametrize(
    ("book", "wanted", "said"),
    [
        ({}, {"db": "10.7.0.1"}, ("EADDRINUSE", "10.7.0.1 is the bridge's")),
        ({"web": "10.7.0.2"}, {"db": "10.7.0.2", "web": None}, ("EADDRINUSE", "10.7.0.2 is that of web")),
        ({}, {**dict.fromkeys("abcde"), "db": None}, ("ENOSPC", "no address of 10.7.0.0/29 is left")),
    ],
)
def test_refused(book: dict[str, str], wanted: dict[str, str | None], said: tuple[str, str]) -> None:
    assert allot(book, wanted, NET, RESERVED).errors == {"db": said}


def test_another_network_gives_others() -> None:
    found = allot({"db": "10.8.0.2"}, {"db": None}, NET, RESERVED)
    assert found.addresses == {"db": "10.7.0.2"}


def test_the_first_network_that_nobody_has() -> None:
    assert str(choose([])) == "10.89.0.0/24"
    assert str(choose([IPv4Network("10.89.0.128/25"), IPv4Network("10.89.2.0/23")])) == "10.89.1.0/24"
    assert choose([IPv4Network("10.0.0.0/8")]) is None
    assert str(POOLS[-1]) == "10.89.255.0/24"
