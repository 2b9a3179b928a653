"""The book of addresses on disk, and what a daemon, `nsvisor plan` and `nsvisor run` make of it."""

import json
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from supervisor.kernel import interface
from supervisor.runtime import address_book
from supervisor.runtime.address_book import AddressBook, borrow, preview
from supervisor.spec.facts import HostFacts
from supervisor.spec.load import load_text
from supervisor.spec.model import Fleet

FACTS = HostFacts(uid=0, gid=0, user="root", home="/root", privileged=True, view=())


class Host:
    """What the book asks of it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.routes: list[tuple[str, str]] = []
        self.addresses: dict[str, tuple[str, str]] = {}
        self.devices: list[str] = ["lo"]
        self.may = True
        patch.setattr(address_book, "routes", lambda: ((name, IPv4Network(net)) for name, net in self.routes))
        patch.setattr(address_book, "administers_network", lambda: self.may)
        patch.setattr(interface, "address_of", lambda name: self.addresses.get(name))  # noqa: PLW0108  (as it is then)
        patch.setattr(interface, "names", lambda: self.devices)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(monkeypatch)


def fleet(**keys: str) -> Fleet:
    text = "".join(
        f'[worker.{name}]\ncommand = ["x"]\nnetwork = {{ mode = "bridge"{", " if more else ""}{more} }}\n'
        for name, more in keys.items()
    )
    return load_text(text, environ={})


def never(event: str, *_: object, **fields: object) -> None:
    raise AssertionError((event, fields))


def addresses(facts: HostFacts) -> dict[str, str]:
    return {name: port.address for name, port in facts.ports.items()}


def test_kept_on_disk_and_freed(tmp_path: Path, host: Host) -> None:
    book = AddressBook(str(tmp_path))
    first = book.assign(fleet(web="", db=""), FACTS, never)
    assert addresses(first) == {"web": "10.89.0.2/24", "db": "10.89.0.3/24"}
    file = tmp_path / "addresses.json"
    assert file.stat().st_mode & 0o777 == 0o600
    again = AddressBook(str(tmp_path)).assign(fleet(new="", db=""), FACTS, never)
    assert addresses(again) == {"db": "10.89.0.3/24", "new": "10.89.0.2/24"}
    assert again.bridge_owner == first.bridge_owner == json.loads(file.read_text())["owner"]
    host.devices.append("nsv0a590002")  # whoever had it has not gone yet
    later = AddressBook(str(tmp_path)).assign(fleet(db="", late=""), FACTS, never)
    assert addresses(later) == {"db": "10.89.0.3/24", "late": "10.89.0.4/24"}
    assert AddressBook(str(tmp_path)).assign(fleet(), FACTS, never).ports == {}
    assert json.loads(file.read_text())["bridges"] == {}


def test_nothing_is_written_for_who_has_no_bridge(tmp_path: Path, host: Host) -> None:
    host.may = False
    assert (
        AddressBook(str(tmp_path)).assign(load_text('[worker.a]\ncommand = ["x"]', environ={}), FACTS, never) == FACTS
    )
    refused = AddressBook(str(tmp_path)).assign(fleet(web=""), FACTS, never)
    assert refused.port_errors["web"][0] == "EPERM"
    assert list(tmp_path.iterdir()) == []


def test_which_network_a_bridge_has(tmp_path: Path, host: Host) -> None:
    host.routes = [("eth0", "10.89.0.0/16"), ("eth1", "192.0.2.0/24")]
    book = AddressBook(str(tmp_path))
    assert book.assign(fleet(web=""), FACTS, never).port_errors["web"][0] == "ENOSPC"
    found = book.assign(fleet(web='subnet = "192.0.2.0/24"'), FACTS, never)
    assert found.port_errors["web"] == ("EADDRNOTAVAIL", "192.0.2.0/24 is not free on this host: eth1 has 192.0.2.0/24")
    assert addresses(book.assign(fleet(web='subnet = "10.89.5.0/24"'), FACTS, never)) == {"web": "10.89.5.2/24"}
    host.routes = [("br0", "10.89.0.0/24"), ("eth0", "10.89.1.0/24")]
    host.addresses = {"br0": ("10.89.0.9", "255.255.255.0")}
    found = book.assign(fleet(web="", lan='bridge = "br0"', third='bridge = "br1"'), FACTS, never)
    # nsvisor0 keeps what it had; br0 has what is there; br1 is given what is left.
    before = {"web": "10.89.5.2/24", "lan": "10.89.0.1/24", "third": "10.89.2.2/24"}
    assert addresses(found) == before
    host.routes = []
    found = book.assign(
        fleet(fourth='bridge = "br2"', web="", lan='bridge = "br0"', third='bridge = "br1"'), FACTS, never
    )
    assert addresses(found) == before | {"fourth": "10.89.1.2/24"}
    assert found.ports["lan"].bridge_address == "10.89.0.9/24"


def test_a_book_that_cannot_be_read_or_written(tmp_path: Path, host: Host) -> None:
    seen: list[Any] = []

    def publish(event: str, level: str, **fields: object) -> None:
        seen.append((event, level, fields))

    file = tmp_path / "addresses.json"
    for text in ("{", '{"owner": "a", "version": 2}'):
        file.write_text(text)
        found = AddressBook(str(tmp_path)).assign(fleet(web=""), FACTS, publish)
        assert found.port_errors["web"][0] == "EIO"
        assert str(file) in found.port_errors["web"][1]
        assert preview(fleet(web=""), FACTS, str(tmp_path)).port_errors["web"][0] == "EIO"
        assert file.read_text() == text
    assert [event for event, _, _ in seen] == ["addresses.failed"] * 2
    found = AddressBook(str(tmp_path / "nowhere")).assign(fleet(web=""), FACTS, publish)
    assert found.port_errors["web"][0] == "EIO"
    assert "cannot write" in seen[-1][2]["error"]
    assert host.devices == ["lo"]


def test_preview_and_run_write_nothing(tmp_path: Path, host: Host) -> None:
    book = AddressBook(str(tmp_path))
    book.assign(fleet(web='subnet = "10.7.0.0/29"', db=""), FACTS, never)
    before = (tmp_path / "addresses.json").read_text()
    found = preview(fleet(db='subnet = "10.7.0.0/29"', other=""), FACTS, str(tmp_path))
    assert addresses(found) == {"db": "10.7.0.3/29", "other": "10.7.0.2/29"}
    worker = fleet(run="").workers["run"]
    assert addresses(borrow(worker, FACTS, str(tmp_path))) == {"run": "10.7.0.4/29"}
    host.devices.append("nsv0a070004")
    assert addresses(borrow(worker, FACTS, str(tmp_path))) == {"run": "10.7.0.5/29"}
    fixed = fleet(run='address = "10.7.0.3/29"').workers["run"]
    assert borrow(fixed, FACTS, str(tmp_path)).port_errors == {"run": ("EADDRINUSE", "10.7.0.3 is that of db")}
    assert (tmp_path / "addresses.json").read_text() == before
