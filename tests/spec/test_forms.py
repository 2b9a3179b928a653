import signal

import pytest

from supervisor.spec import forms
from supervisor.spec.capabilities import CAPABILITIES
from supervisor.spec.forms import FormError


def test_signals() -> None:
    assert {forms.signal_name(text) for text in ("TERM", "term", "SIGTERM", " sigterm ")} == {"SIGTERM"}
    assert forms.signal_name("rtmin+3") == "SIGRTMIN+3"
    assert forms.signal_number("HUP") == signal.SIGHUP
    assert forms.signal_number("SIGRTMIN+3") == signal.SIGRTMIN + 3
    assert forms.signal_number("RTMAX-1") == signal.SIGRTMAX - 1
    with pytest.raises(FormError, match="not a signal") as caught:
        forms.signal_name("SIGTRM")
    assert caught.value.nearest == '"SIGTERM"'
    with pytest.raises(FormError, match="not a signal"):
        forms.signal_name("RTMIN+99")


def test_exits() -> None:
    assert forms.exit_name(3) == 3
    assert forms.exit_name("usr1") == "SIGUSR1"
    with pytest.raises(FormError, match="not a signal") as caught:
        forms.exit_name("3")
    assert caught.value.nearest == "3"


def test_capabilities_are_numbered_as_the_kernel_does() -> None:
    assert CAPABILITIES[0] == "CAP_CHOWN"
    assert CAPABILITIES[21] == "CAP_SYS_ADMIN"
    assert CAPABILITIES[40] == "CAP_CHECKPOINT_RESTORE"
    assert len(CAPABILITIES) == 41
    assert forms.capability_name("net_admin") == forms.capability_name("CAP_NET_ADMIN") == "CAP_NET_ADMIN"


@pytest.mark.parametrize("name", ["a", "web", "web-2", "9lives", "A1"])
def test_worker_names(name: str) -> None:
    assert forms.worker_name(name) == name


@pytest.mark.parametrize(("name", "meant"), [("we b", '"we-b"'), ("-a", '"a"'), ("a_b", '"a-b"'), ("", None)])
def test_no_worker_names(name: str, meant: str | None) -> None:
    with pytest.raises(FormError) as caught:
        forms.worker_name(name)
    assert caught.value.nearest == meant


@pytest.mark.parametrize("address", ["127.0.0.1:80", "localhost:8080", "[::1]:1", "db.example.:65535"])
def test_addresses(address: str) -> None:
    assert forms.tcp_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "80",
        ":80",
        "host:",
        "host:0",
        "host:65536",
        "::1:80",
        "[zz]:80",
        "1.2.3:80",
        "a b:80",
        "[::1]",
        "1.2.3.4.5:8",
    ],
)
def test_no_addresses(address: str) -> None:
    with pytest.raises(FormError):
        forms.tcp_address(address)


def test_inner_paths() -> None:
    assert forms.inner_path("//srv/./a//") == "/srv/a"
    assert forms.inner_path("/") == "/"
    for path in ("srv", "", "/a/../b", "~/a"):
        with pytest.raises(FormError):
            forms.inner_path(path)


def test_id_ranges() -> None:
    assert forms.id_ranges(["0:1000:1", "1:100000:65535"]) == [(0, 1000, 1), (1, 100000, 65535)]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["0:1"], "is not an id range"),
        (["0:-1:1"], "is not an id range"),
        (["0:1:0"], "is out of range"),
        (["4294967295:0:1"], "is out of range"),
        (["0:0:10", "5:100:10"], 'overlaps "0:0:10" inside'),
        (["0:0:10", "10:9:10"], 'overlaps "0:0:10" outside'),
        (["0:0:1"] * 341, "341 ranges"),
    ],
)
def test_no_id_ranges(lines: list[str], message: str) -> None:
    with pytest.raises(FormError, match=message):
        forms.id_ranges(lines)
