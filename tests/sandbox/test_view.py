"""The arguments of rootfs.prepare for the host view."""

from typing import Literal

from supervisor.sandbox.view import EMPTY, host_view, needs_private_tmp
from supervisor.spec.facts import HostEntry, HostFacts
from supervisor.spec.model import Mount, Rootfs, Worker

VIEW = (
    HostEntry("/usr", "bind", "/usr"),
    HostEntry("/bin", "symlink", "usr/bin"),
    HostEntry("/etc/ssl/certs", "bind", "/data/certs"),
    HostEntry("/etc/localtime", "symlink", "/usr/share/zoneinfo/UTC"),
)
FACTS = HostFacts(uid=1, gid=1, user="ada", home="/home/ada", privileged=False, view=VIEW)


def triples() -> list[tuple[str, str, str]]:
    words = host_view(FACTS)
    assert len(words) % 3 == 0
    return [(words[at], words[at + 1], words[at + 2]) for at in range(0, len(words), 3)]


def test_a_directory_comes_before_what_lies_in_it() -> None:
    made: set[str] = {""}
    for kind, target, _ in triples():
        assert target.rpartition("/")[0] in made, target
        assert target not in made
        if kind == "dir":
            made.add(target)


def test_what_is_there() -> None:
    by_target = {target: (kind, source) for kind, target, source in triples()}
    assert {entry.target: (entry.kind, entry.source) for entry in VIEW}.items() <= by_target.items()
    assert {target for target, (kind, _) in by_target.items() if kind == "dir"} == {*EMPTY, "/etc/ssl"}
    assert by_target["/var/tmp"] == ("symlink", "/tmp")


def test_an_entry_takes_the_place_of_an_empty_directory() -> None:
    facts = HostFacts(uid=1, gid=1, user="", home="/", privileged=False, view=(HostEntry("/etc", "bind", "/etc"),))
    assert [word for word in host_view(facts) if word == "/etc"] == ["/etc", "/etc"]  # target and source


def test_a_private_tmp() -> None:
    def box(*mounts: Mount, kind: Literal["host", "dir"] = "host") -> Worker:
        return Worker("web", ("true",), mounts=mounts, rootfs=Rootfs(kind, "/srv"))

    assert needs_private_tmp(box())
    assert needs_private_tmp(box(Mount("tmpfs", "/tmp/below")))
    assert not needs_private_tmp(box(Mount("bind", "/tmp", "/srv")))
    assert not needs_private_tmp(box(Mount("tmpfs", "/tmp/")))
    assert not needs_private_tmp(box(kind="dir"))
