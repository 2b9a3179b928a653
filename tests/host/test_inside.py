from pathlib import Path

import pytest

from supervisor.host.inside import Inside, command_problem
from supervisor.host.view import host_view
from supervisor.spec.facts import HostFacts
from supervisor.spec.model import Mount, Namespaces, Rootfs, Worker


@pytest.fixture
def facts(tmp_path: Path) -> HostFacts:
    """A host with three programs, one of them reached through /etc/alternatives, and a home beside."""
    for name in ("usr/bin", "etc/alternatives", "home/ada"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bin").symlink_to("usr/bin")
    for name in ("usr/bin/mawk", "usr/bin/sh", "home/ada/tool"):
        (tmp_path / name).write_text("\x7fELF")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "usr/bin/awk").symlink_to("/etc/alternatives/awk")
    (tmp_path / "etc/alternatives/awk").symlink_to("/usr/bin/mawk")
    (tmp_path / "usr/bin/round").symlink_to("round")
    return HostFacts(uid=1000, gid=1000, user="ada", home="/home/ada", privileged=False, view=host_view(str(tmp_path)))


def worker(*command: str, **keys: object) -> Worker:
    return Worker(name="web", command=command, **keys)  # type: ignore[arg-type]


def bind(source: Path, target: str) -> Mount:
    return Mount(type="bind", source=str(source), target=target)


@pytest.mark.parametrize("command", ["sh", "/bin/sh", "/usr/bin/sh", "awk", "/usr/bin/../bin/awk"])
def test_commands_of_the_host_view(facts: HostFacts, command: str) -> None:
    assert command_problem(worker(command), facts) is None


def test_links_are_followed_inside(facts: HostFacts, tmp_path: Path) -> None:
    assert Inside(worker("awk"), facts).find_command("awk") == ("/usr/bin/awk", f"{tmp_path}/usr/bin/mawk")


@pytest.mark.parametrize("command", ["nope", "/usr/bin/nope", "/home/ada/tool", "/usr/bin/round", "/usr/bin", "/"])
def test_what_is_not_there(facts: HostFacts, command: str) -> None:
    assert "is not in the sandbox" in (command_problem(worker(command), facts) or "")


def test_a_bind_shows_a_home(facts: HostFacts, tmp_path: Path) -> None:
    shown = worker("/home/ada/tool", mounts=(bind(tmp_path / "home/ada", "/home/ada"),))
    assert command_problem(shown, facts) is None


def test_a_later_mount_hides_an_earlier_one(facts: HostFacts, tmp_path: Path) -> None:
    over = Mount(type="tmpfs", target="/opt")
    hidden = worker("/opt/tool", mounts=(bind(tmp_path / "home/ada", "/opt"), over))
    assert "not in the sandbox" in (command_problem(hidden, facts) or "")
    shown = worker("/opt/x/tool", mounts=(over, bind(tmp_path / "home/ada", "/opt/x")))
    assert command_problem(shown, facts) is None


def test_the_workers_own_path_is_searched(facts: HostFacts, tmp_path: Path) -> None:
    mounts = (bind(tmp_path / "home/ada", "/tools"),)
    assert command_problem(worker("tool", mounts=mounts, env={"PATH": "/bin:/tools"}), facts) is None
    assert "PATH /bin" in (command_problem(worker("tool", mounts=mounts, env={"PATH": "/bin"}), facts) or "")


def test_a_relative_command_starts_at_working_dir(facts: HostFacts) -> None:
    assert command_problem(worker("bin/sh", working_dir="/usr"), facts) is None
    assert "/bin/bin/sh" in (command_problem(worker("bin/sh", working_dir="/bin"), facts) or "")


def test_a_directory_as_root(facts: HostFacts, tmp_path: Path) -> None:
    rootfs = Rootfs(kind="dir", path=str(tmp_path / "home"))
    assert command_problem(worker("/ada/tool", rootfs=rootfs), facts) is None
    assert command_problem(worker("/bin/sh", rootfs=rootfs), facts) is not None


def test_a_script_needs_its_interpreter(facts: HostFacts, tmp_path: Path) -> None:
    script = tmp_path / "usr/bin/script"
    script.write_text("#!/usr/bin/python9 -I\n")
    script.chmod(0o755)
    assert "interpreter /usr/bin/python9" in (command_problem(worker("script"), facts) or "")
    script.write_text("#! /bin/sh\n")
    assert command_problem(worker("script"), facts) is None


def test_a_file_must_be_executable(facts: HostFacts, tmp_path: Path) -> None:
    (tmp_path / "usr/bin/text").write_text("text")
    assert command_problem(worker("text"), facts) == "/usr/bin/text is not executable"


def test_namespaces_that_are_shared_or_joined(facts: HostFacts, tmp_path: Path) -> None:
    host = worker(str(tmp_path / "home/ada/tool"), namespaces=Namespaces(mount=False))
    assert command_problem(host, facts) is None
    assert command_problem(worker("/nope", namespaces=Namespaces(mount="pid:1")), facts) is None


def test_the_layers_of_an_overlay(facts: HostFacts, tmp_path: Path) -> None:
    """The upper one first; a link of one layer leads into another."""
    for layer, name in (("upper", "bin/new"), ("over", "bin/sh"), ("base", "bin/sh"), ("base", "bin/only")):
        (tmp_path / layer / "bin").mkdir(parents=True, exist_ok=True)
        (tmp_path / layer / name).write_text("\x7fELF")
        (tmp_path / layer / name).chmod(0o755)
    (tmp_path / "over/bin/link").symlink_to("/bin/only")
    keys = {"lower": (f"{tmp_path}/over", f"{tmp_path}/base"), "upper": f"{tmp_path}/upper"}
    inside = Inside(worker("sh", rootfs=Rootfs("overlay", **keys)), facts)  # type: ignore[arg-type]
    found = {"new": "upper/bin/new", "sh": "over/bin/sh", "only": "base/bin/only", "link": "base/bin/only"}
    assert {name: inside.locate(f"/bin/{name}") for name in found} == {
        name: f"{tmp_path}/{path}" for name, path in found.items()
    }
    assert inside.locate("/bin/none") is None
    mounted = Inside(worker("sh", mounts=(Mount("overlay", "/opt", **keys),)), facts)  # type: ignore[arg-type]
    assert mounted.locate("/opt/bin/sh") == f"{tmp_path}/over/bin/sh"


def test_an_empty_root_has_what_is_mounted(facts: HostFacts, tmp_path: Path) -> None:
    mounts = (bind(tmp_path / "usr", "/usr"), Mount("symlink", "/bin", "usr/bin"))
    inside = Inside(worker("sh", rootfs=Rootfs("tmpfs"), mounts=mounts), facts)
    assert inside.find_command("sh") is not None
    assert inside.locate("/bin/sh") == f"{tmp_path}/usr/bin/sh"
    assert Inside(worker("sh", rootfs=Rootfs("tmpfs")), facts).find_command("sh") is None
