"""Profiles as files: what is read, and every fault told at its place."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.spec.errors import ConfigError
from supervisor.spec.load import load
from supervisor.spec.seccomp import Comparison, Condition, Profile, Rule
from supervisor.spec.seccomp_file import read_profile

STOCK = Path("/usr/share/containers/seccomp.json")


def profile(tmp_path: Path, **keys: Any) -> Profile:
    """A profile with these keys, read from a file."""
    file = tmp_path / "profile.json"
    file.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", **keys}))
    return read_profile(str(file))


def rule(tmp_path: Path, default: str = "SCMP_ACT_ERRNO", **keys: Any) -> Rule:
    whole = {"names": ["read"], "action": "SCMP_ACT_ALLOW", **keys}
    (found,) = profile(tmp_path, defaultAction=default, syscalls=[whole]).rules
    return found


def problems(tmp_path: Path, data: Any) -> list[str]:
    """What is said of a file, without its name."""
    file = tmp_path / "bad.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises(ConfigError) as caught:
        read_profile(str(file))
    assert all(problem.file == str(file) for problem in caught.value.problems)
    return [str(problem).removeprefix(str(file)).lstrip(":0123456789 ") for problem in caught.value.problems]


def test_everything_that_a_rule_may_say(tmp_path: Path) -> None:
    found = rule(
        tmp_path,
        names=["ioctl", "clone"],
        action="SCMP_ACT_ERRNO",
        errnoRet=38,
        errno="ENOSYS",
        comment="why",
        args=[{"index": 1, "value": 2**64 - 1, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}],
        includes={"caps": ["CAP_SYS_ADMIN"], "arches": ["amd64"], "minKernel": "4.8"},
        excludes={},
    )
    assert found == Rule(
        names=("ioctl", "clone"),
        action="SCMP_ACT_ERRNO",
        errno=38,
        args=(Comparison(1, "SCMP_CMP_MASKED_EQ", 2**64 - 1, 3),),
        includes=Condition(("CAP_SYS_ADMIN",), ("amd64",), (4, 8)),
    )


def test_nulls_are_as_if_not_written(tmp_path: Path) -> None:
    assert rule(tmp_path, args=None, includes=None, excludes=None, errnoRet=None) == Rule(("read",), "SCMP_ACT_ALLOW")
    assert profile(tmp_path, syscalls=None, architectures=None, flags=None) == Profile("SCMP_ACT_ERRNO")
    assert profile(tmp_path, flags=[]).flags == ()


def test_a_bundles_config_json(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    inner = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"]}
    file.write_text(json.dumps({"ociVersion": "1.0.2", "linux": {"seccomp": inner}}))
    assert read_profile(str(file)) == Profile("SCMP_ACT_ALLOW", architectures=("SCMP_ARCH_X86_64",))
    assert problems(tmp_path, {"ociVersion": "1.0.2", "linux": {}}) == ["linux.seccomp: missing; allowed: an object"]


def test_unknown_calls_matter_where_the_default_is_to_allow(tmp_path: Path) -> None:
    """Elsewhere they are closed anyway: a profile written for a newer kernel goes on working."""
    found = profile(tmp_path, syscalls=[{"names": ["read", "brand_new", "s390_sthyi"], "action": "SCMP_ACT_ALLOW"}])
    assert found.unknown == ("brand_new",)
    denying = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mout"], "action": "SCMP_ACT_KILL"}]}
    (message,) = problems(tmp_path, denying)
    assert message.startswith('syscalls[0].names[0] = "mout": no system call that is known')
    assert message.endswith('did you mean "mount"?')


WORDS = [
    *("defaultAction", "defaultErrnoRet", "architectures", "archMap", "architecture", "subArchitectures", "flags"),
    *("syscalls", "names", "action", "errnoRet", "args", "includes", "excludes", "caps", "arches", "minKernel"),
    *("index", "value", "valueTwo", "op", "SCMP_ACT_ALLOW", "SCMP_CMP_EQ", "read", "ociVersion", "linux", "seccomp"),
]
BASE: dict[str, Any] = {"defaultAction": "SCMP_ACT_ERRNO"}
READ: dict[str, Any] = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
ARG: dict[str, Any] = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("{", "not valid JSON: expecting property name"),
        ("[]", "wrong type; allowed: an object"),
        ({}, "defaultAction: missing; allowed: SCMP_ACT_ALLOW"),
        ({**BASE, "defaultAction": "SCMP_ACT_TRACE"}, 'defaultAction = "SCMP_ACT_TRACE": not supported'),
        ({**BASE, "listenerPath": "/run/agent"}, 'listenerPath = "/run/agent": not supported: nobody would listen'),
        ({**BASE, "defaultErrnoRet": -1}, "defaultErrnoRet = -1: not allowed; allowed: a whole number from 0 to 4095"),
        ({**BASE, "sysclls": []}, "sysclls: unknown key"),
        ({**BASE, "flags": ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]}, "flags[0] = "),
        ({**BASE, "architectures": [7]}, "architectures[0] = 7: wrong type; allowed: a string"),
        ({**BASE, "syscalls": {}}, "syscalls = {}: wrong type; allowed: an array"),
        ({**BASE, "syscalls": ["read"]}, "syscalls[0]: wrong type; allowed: an object"),
        ({**BASE, "syscalls": [{**READ, "names": ["\x1b[0m"]}]}, "syscalls[0].names[0] = "),
        ({**BASE, "syscalls": [{"names": ["read"]}]}, "syscalls[0].action: missing"),
        ({**BASE, "syscalls": [{"action": "SCMP_ACT_LOG"}]}, "syscalls[0].names: missing"),
        ({**BASE, "syscalls": [{**READ, "action": "SCMP_ACT_NOTIFY"}]}, "syscalls[0].action = "),
        ({**BASE, "syscalls": [{**READ, "errnoRet": True}]}, "syscalls[0].errnoRet = true: not allowed"),
        ({**BASE, "syscalls": [{**READ, "args": [{**ARG, "index": 6}]}]}, "syscalls[0].args[0].index = 6: not allowed"),
        ({**BASE, "syscalls": [{**READ, "args": [{**ARG, "value": -1}]}]}, "syscalls[0].args[0].value = -1"),
        ({**BASE, "syscalls": [{**READ, "args": [{**ARG, "op": "=="}]}]}, 'syscalls[0].args[0].op = "==": not allowed'),
        (
            {**BASE, "syscalls": [{**READ, "args": [{**ARG, "op": "SCMP_CMP_MASKED_EQ", "valueTwo": 2}]}]},
            "syscalls[0].args[0].valueTwo = 2: can never be equal",
        ),
        ({**BASE, "syscalls": [{**READ, "includes": {"minKernel": "new"}}]}, "syscalls[0].includes.minKernel = "),
        ({**BASE, "syscalls": [{**READ, "excludes": {"cap": []}}]}, "syscalls[0].excludes.cap: unknown key"),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, data: Any, expected: str) -> None:
    (message,) = problems(tmp_path, data)
    assert message.startswith(expected)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(WORDS), JSON, max_size=5))
def test_any_json_is_a_profile_or_refused(tmp_path: Path, data: Any) -> None:
    file = tmp_path / "any.json"
    file.write_text(json.dumps({"defaultAction": "SCMP_ACT_LOG", **data}))
    with suppress(ConfigError):
        read_profile(str(file))


def test_a_fault_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "lines.json"
    file.write_text('{\n "defaultAction": "SCMP_ACT_LOG",\n "syscalls": [\n  {"names": ["read"],\n   "action": "no"}]}')
    with pytest.raises(ConfigError) as caught:
        read_profile(str(file))
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [(5, "syscalls[0].action")]


def test_all_faults_at_once(tmp_path: Path) -> None:
    data = {"defaultAction": "no", "syscalls": [{**READ, "action": "no"}, {**READ, "args": [{}]}]}
    assert len(problems(tmp_path, data)) == 5


def load_with(tmp_path: Path, *lines: str) -> Any:
    file = tmp_path / "nsvisor.toml"
    file.write_text("\n".join(['[worker.web]\ncommand = ["true"]\n[worker.web.security]', *lines]))
    return load([str(file)], {}).workers["web"].security


def test_the_key(tmp_path: Path) -> None:
    assert load_with(tmp_path).seccomp == "default"
    (tmp_path / "mine.json").write_text('{"defaultAction": "SCMP_ACT_LOG"}')
    found = load_with(tmp_path, 'seccomp = "mine.json"')
    assert (found.seccomp, found.seccomp_profile) == (str(tmp_path / "mine.json"), Profile("SCMP_ACT_LOG"))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (['seccomp = "of"'], 'security.seccomp = "of": not allowed; allowed: "default", "off" or the path'),
        (['seccomp = "./none.json"'], 'security.seccomp = "./none.json": cannot read: No such file or directory'),
        (["seccomp_profile = {}"], "security.seccomp_profile: unknown key"),
        (["no_new_privs = false"], "security.no_new_privs = false: the kernel takes no seccomp filter then"),
    ],
)
def test_bad_keys(tmp_path: Path, lines: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_with(tmp_path, *lines)
    assert f"worker.web.{expected}" in str(caught.value)


@pytest.mark.parametrize("other", ['seccomp = "off"', 'capabilities = ["sys_admin"]\nnested_userns = true'])
def test_no_new_privs_can_be_off_where_the_kernel_lets_it(tmp_path: Path, other: str) -> None:
    assert not load_with(tmp_path, "no_new_privs = false", other).no_new_privs


def test_a_faulty_file_is_told_at_its_own_place(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"defaultAction": "SCMP_ACT_LOGG"}')
    with pytest.raises(ConfigError) as caught:
        load_with(tmp_path, 'seccomp = "mine.json"')
    (problem,) = caught.value.problems
    assert (problem.file, problem.key, problem.nearest) == (
        str(tmp_path / "mine.json"), "defaultAction", '"SCMP_ACT_LOG"',
    )  # fmt: skip


def test_the_profile_of_a_distribution() -> None:
    """Debian's golang-github-containers-common: what podman uses."""
    if not STOCK.exists():
        pytest.skip("needs golang-github-containers-common")
    found = read_profile(str(STOCK))
    assert (found.default_action, found.default_errno, found.unknown) == ("SCMP_ACT_ERRNO", 38, ())
    assert len(found.rules) > 30
