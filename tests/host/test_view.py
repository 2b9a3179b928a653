from pathlib import Path

import pytest

from supervisor.host.view import host_view
from supervisor.spec.facts import HostEntry

SECRETS = ("shadow", "gshadow", "sudoers", "machine-id", "ssh", "ssl/private", "pki/tls/private", "NetworkManager")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with merged /usr and an /etc of its own."""
    for name in ("usr/bin", "usr/lib", "etc/ssl/certs", "etc/ssl/private", "run"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "lib").symlink_to("usr/lib")
    for name in ("passwd", "hosts", "ssl/certs/ca.pem", "ssl/private/key.pem", "shadow"):
        (tmp_path / "etc" / name).write_text("content\n")
    return tmp_path


def entries(root: Path) -> dict[str, HostEntry]:
    return {entry.target: entry for entry in host_view(str(root))}


def test_a_merged_usr_is_one_bind_and_links(root: Path) -> None:
    found = entries(root)
    assert found["/usr"] == HostEntry("/usr", "bind", f"{root}/usr")
    assert found["/bin"] == HostEntry("/bin", "symlink", "usr/bin")
    assert "/lib64" not in found


def test_a_directory_beside_usr_is_bound(root: Path) -> None:
    (root / "sbin").mkdir()
    assert entries(root)["/sbin"] == HostEntry("/sbin", "bind", f"{root}/sbin")


def test_only_what_is_listed_and_public_of_etc(root: Path) -> None:
    assert [target for target in entries(root) if target.startswith("/etc/")] == [
        "/etc/passwd",
        "/etc/hosts",
        "/etc/ssl/certs",
    ]


def test_a_link_into_usr_stays_a_link(root: Path) -> None:
    (root / "usr/lib/os-release").write_text("ID=debian\n")
    (root / "etc/os-release").symlink_to("../usr/lib/os-release")
    assert entries(root)["/etc/os-release"] == HostEntry("/etc/os-release", "symlink", "../usr/lib/os-release")


def test_a_link_out_of_the_view_is_bound_from_its_end(root: Path) -> None:
    (root / "run/resolv.conf").write_text("nameserver 192.0.2.1\n")
    (root / "etc/resolv.conf").symlink_to("../run/resolv.conf")
    assert entries(root)["/etc/resolv.conf"] == HostEntry("/etc/resolv.conf", "bind", f"{root}/run/resolv.conf")


def test_a_link_that_leaves_the_view_on_its_way_is_bound(root: Path) -> None:
    (root / "usr/zone").write_text("zone\n")
    (root / "run/zone").symlink_to("../usr/zone")
    (root / "etc/localtime").symlink_to("../run/zone")
    assert entries(root)["/etc/localtime"].kind == "bind"


def test_links_that_lead_nowhere_are_left_out(root: Path) -> None:
    (root / "etc/localtime").symlink_to("../usr/missing")
    (root / "etc/group").symlink_to("group")
    assert not {"/etc/localtime", "/etc/group"} & set(entries(root))


def test_what_says_nothing_is_left_out(root: Path) -> None:
    (root / "etc/gai.conf").write_text("# precedence ::1/128 50\n\n")
    (root / "etc/terminfo").mkdir()
    (root / "etc/terminfo/README").write_text("put entries here\n")
    assert not {"/etc/gai.conf", "/etc/terminfo"} & set(entries(root))
    (root / "etc/gai.conf").write_text("# prefer IPv4\nprecedence ::ffff:0:0/96 100\n")
    (root / "etc/terminfo/x").mkdir()
    assert {"/etc/gai.conf", "/etc/terminfo"} <= set(entries(root))


def test_patterns_find_each_java(root: Path) -> None:
    for name in ("java-17-openjdk", "java-21-openjdk"):
        (root / "etc" / name / "security").mkdir(parents=True)
    assert {"/etc/java-17-openjdk", "/etc/java-21-openjdk"} <= set(entries(root))


def test_this_host_shows_no_secret_and_takes_few_mounts() -> None:
    found = host_view()
    assert found[0] == HostEntry("/usr", "bind", "/usr")
    for entry in found:
        for secret in SECRETS:
            assert not f"/etc/{secret}".startswith(entry.target), entry
    assert sum(entry.kind == "bind" for entry in found) <= 20
