"""Options as a worker's keys: what they change, and that a problem names the option."""

from pathlib import Path

import pytest

from supervisor.spec.errors import ConfigError
from supervisor.spec.load import load_options
from supervisor.spec.model import Worker
from supervisor.spec.names import UnknownName
from supervisor.spec.options import OptionSource

FLEET = """
[defaults]
env = { A = "0", D = "0" }
[worker.w]
command = ["serve"]
env = { A = "1", B = "1" }
groups = [5]
mounts = [{ type = "tmpfs", target = "/one" }, { type = "tmpfs", target = "/two" }]
limits = { nofile = 100 }
[worker.v]
command = ["other"]
after = ["w"]
"""


def options(name: str = "w") -> OptionSource:
    return OptionSource(name, "/somewhere")


def fleet(tmp_path: Path, text: str = FLEET) -> str:
    file = tmp_path / "fleet.toml"
    file.write_text(text)
    return str(file)


def problems(source: OptionSource, path: str | None = None) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load_options(source, path, {})
    return [str(problem) for problem in raised.value.problems]


def test_without_a_configuration_they_are_all_there_is() -> None:
    source = options("run")
    source.put(("command",), ["true"], "COMMAND")
    source.put(("rootfs", "path"), "root", "--rootfs root")
    source.put(("rootfs", "kind"), "dir", "--rootfs root")
    found = load_options(source, None, {})
    assert (found.name, found.command, found.rootfs.path) == ("run", ("true",), "/somewhere/root")
    assert found == Worker(name="run", command=("true",), rootfs=found.rootfs)


def test_they_lie_over_a_worker(tmp_path: Path) -> None:
    source = options()
    source.put(("env", "B"), "2", "--env B=2")
    source.put(("groups",), [6], "--group 6")
    source.add(("mounts",), {"type": "tmpfs", "target": "/three"}, "--tmpfs /three")
    source.put(("limits", "core"), 0, "--limit core=0")
    found = load_options(source, fleet(tmp_path), {})
    assert found.command == ("serve",)
    assert found.env == {"A": "1", "B": "2", "D": "0"}
    assert found.groups == (6,)
    assert [mount.target for mount in found.mounts] == ["/one", "/two", "/three"]
    assert (found.limits.nofile, found.limits.core) == (100, 0)


def test_a_problem_names_the_option(tmp_path: Path) -> None:
    source = options()
    source.add(("mounts",), {"type": "tmpfs", "target": "/two"}, "--tmpfs /two")
    source.put(("limits", "nofile"), "many", "--limit nofile=many")
    told = problems(source, fleet(tmp_path))
    assert told[0].startswith("cannot run: --limit nofile=many: not a number; allowed: ")
    source = options()
    source.add(("mounts",), {"type": "tmpfs", "target": "/two"}, "--tmpfs /two")
    assert problems(source, fleet(tmp_path)) == ["cannot run: --tmpfs /two: target: the same target as mounts[1]"]


def test_a_problem_of_the_file_names_the_file(tmp_path: Path) -> None:
    path = fleet(tmp_path, FLEET.replace('"/one"', '"one"'))
    assert problems(options(), path)[0].startswith(f"{path}:8: worker.w.mounts[0].target = ")


def test_a_problem_of_no_option_names_the_key() -> None:
    source = options("run")
    source.put(("user",), "root", "--uid root")
    assert problems(source)[0].startswith("cannot run: command: missing")


def test_a_table_that_is_unknown_names_what_is_in_it() -> None:
    source = options("run")
    source.put(("command",), ["true"], "COMMAND")
    source.put(("moon", "phase"), 1, "--set moon.phase=1")
    assert problems(source)[0].startswith("cannot run: --set moon.phase=1: moon: unknown key")


def test_what_another_option_sets_is_no_table() -> None:
    source = options("run")
    source.put(("hostname",), "x", "--hostname x")
    with pytest.raises(ConfigError, match=r"set by another option, too"):
        source.put(("hostname", "y"), 1, "--set hostname.y=1")
    source.put(("mounts",), "moon", "--set mounts=moon")
    with pytest.raises(ConfigError, match=r"set by another option, too"):
        source.add(("mounts",), {}, "--tmpfs /x")


def test_a_worker_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnknownName):
        load_options(options("x"), fleet(tmp_path), {})
