"""Filters against what profiles say, call by call, on the kernel's machine in miniature."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.seccomp.default import default_profile
from supervisor.sandbox.seccomp.filter import AUDIT_ARCH, X32, Filter, compile_filter
from supervisor.spec.seccomp import Comparison, Condition, Profile, Rule
from supervisor.spec.syscalls import KNOWN, NUMBERS
from tests.sandbox.seccomp.machine import run, values

X86_64, X86 = NUMBERS["SCMP_ARCH_X86_64"], NUMBERS["SCMP_ARCH_X86"]
NATIVE = AUDIT_ARCH["SCMP_ARCH_X86_64"]
ALLOW, LOG, KILL, KILL_PROCESS, TRAP = 0x7FFF0000, 0x7FFC0000, 0, 0x80000000, 0x30000
EPERM, ENOSYS, EAFNOSUPPORT, EPROTONOSUPPORT = (0x50000 | number for number in (1, 38, 97, 93))
NOBODY: frozenset[str] = frozenset()
STARTS = Rule(("write", "execve"), "SCMP_ACT_ALLOW")

returns = {
    "SCMP_ACT_ALLOW": ALLOW,
    "SCMP_ACT_LOG": LOG,
    "SCMP_ACT_TRAP": TRAP,
    "SCMP_ACT_KILL": KILL,
    "SCMP_ACT_KILL_THREAD": KILL,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
}


def compiled(
    profile: Profile, kept: frozenset[str] = NOBODY, release: str = "6.1.0-1", machine: str = "x86_64"
) -> Filter:
    return compile_filter(profile, machine, release, kept)


def default(name: str, *args: int, kept: tuple[str, ...] = (), nested: bool = False) -> int:
    found = compiled(default_profile(nested=nested), frozenset(kept))
    return run(found.program, X86_64[name], NATIVE, (*args, *[0] * (6 - len(args))))


# -- any profile ----------------------------------------------------------------------------------------------------


def meant(profile: Profile, name: str, args: list[int]) -> int:
    """What the profile says, read word by word."""
    for rule in profile.rules:
        if name in rule.names and _matches(rule, args):
            return returns.get(rule.action, 0x50000 | rule.errno)
    return returns.get(profile.default_action, 0x50000 | profile.default_errno)


def _matches(rule: Rule, args: list[int]) -> bool:
    indexes = [one.index for one in rule.args]
    every = any if len(set(indexes)) < len(indexes) else all
    return not rule.args or every(_holds(one, args[one.index]) for one in rule.args)


def _holds(one: Comparison, value: int) -> bool:
    match one.op:
        case "SCMP_CMP_EQ":
            return value == one.value
        case "SCMP_CMP_NE":
            return value != one.value
        case "SCMP_CMP_LT":
            return value < one.value
        case "SCMP_CMP_LE":
            return value <= one.value
        case "SCMP_CMP_GT":
            return value > one.value
        case "SCMP_CMP_GE":
            return value >= one.value
        case "SCMP_CMP_MASKED_EQ":
            return value & one.value == one.value_two


actions = st.sampled_from([*returns, "SCMP_ACT_ERRNO"])
comparisons = st.builds(
    lambda index, op, value, other: Comparison(
        index, op, value, other & value if op == "SCMP_CMP_MASKED_EQ" else other
    ),
    st.integers(0, 5),
    st.sampled_from([f"SCMP_CMP_{op}" for op in ("EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ")]),
    values,
    values,
)
SOME = ["read", "write", "close", "ioctl", "mmap", "getpid", "clone3", "futex_waitv", "listns"]
rules = st.builds(
    Rule,
    st.lists(st.sampled_from(SOME), min_size=1, max_size=4).map(tuple),
    actions,
    st.integers(0, 4095),
    st.lists(comparisons, max_size=3).map(tuple),
)
profiles = st.builds(
    lambda action, errno, rest: Profile(action, errno, (STARTS, *rest)),
    actions,
    st.integers(0, 4095),
    st.lists(rules, max_size=12),
)


@settings(deadline=None, max_examples=300)
@given(profiles, st.sampled_from([*SOME, "openat"]), st.data())
def test_the_filter_does_what_the_profile_says(profile: Profile, name: str, data: st.DataObject) -> None:
    mentioned = [one.value for rule in profile.rules for one in rule.args]
    near = [value + by & 2**64 - 1 for value in mentioned for by in (-1, 0, 1)]
    value = st.one_of(st.sampled_from(near), values) if near else values
    args = data.draw(st.lists(value, min_size=6, max_size=6))
    assert run(compiled(profile).program, X86_64[name], NATIVE, args) == meant(profile, name, args)


def test_a_long_chain_of_rules_is_jumped_over() -> None:
    """A conditional jump leads 255 instructions far; here each side of the search is longer."""
    many = [Rule(("ioctl", "personality"), "SCMP_ACT_ERRNO", 5, (Comparison(1, "SCMP_CMP_EQ", n),)) for n in range(200)]
    program = compiled(Profile("SCMP_ACT_ALLOW", rules=tuple(many))).program
    for name in ("ioctl", "personality"):
        assert run(program, X86_64[name], NATIVE, (0, 199, 0, 0, 0, 0)) == 0x50005
        assert run(program, X86_64[name], NATIVE, (0, 200, 0, 0, 0, 0)) == ALLOW
    assert run(program, X86_64["read"], NATIVE) == ALLOW


def test_too_many_rules_for_the_kernel() -> None:
    many = tuple(Rule(("ioctl",), "SCMP_ACT_ALLOW", 1, (Comparison(1, "SCMP_CMP_EQ", n),)) for n in range(1000))
    with pytest.raises(PlanError, match="the kernel takes 4096") as caught:
        compiled(Profile("SCMP_ACT_ERRNO", rules=(STARTS, *many)))
    assert caught.value.phase == "lock.seccomp"


@pytest.mark.parametrize("missing", ["write", "execve"])
def test_a_profile_that_lets_no_command_start(missing: str) -> None:
    needed = tuple(name for name in STARTS.names if name != missing)
    with pytest.raises(PlanError, match=f"never allows {missing}"):
        compiled(Profile("SCMP_ACT_ERRNO", rules=(Rule(needed, "SCMP_ACT_ALLOW"),)))
    with pytest.raises(PlanError, match=f"never allows {missing}"):
        compiled(Profile("SCMP_ACT_ALLOW", rules=(Rule((missing,), "SCMP_ACT_KILL"),)))
    compiled(
        Profile("SCMP_ACT_ALLOW", rules=(Rule((missing,), "SCMP_ACT_KILL", 1, (Comparison(0, "SCMP_CMP_EQ", 7),)),))
    )


def test_a_machine_without_a_table() -> None:
    with pytest.raises(PlanError, match="no table of system calls for riscv64"):
        compiled(default_profile(), machine="riscv64")


# -- architectures --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS"])
def test_other_architectures_are_closed_whatever_the_default(action: str) -> None:
    program = compiled(Profile(action, rules=(STARTS,))).program  # type: ignore[arg-type]
    for number in (0, X86["execve"], 0x7FFFFFFF):
        assert run(program, number, AUDIT_ARCH["SCMP_ARCH_X86"]) == ENOSYS
        assert run(program, number, AUDIT_ARCH["SCMP_ARCH_AARCH64"]) == ENOSYS
    for number in (X32 | X86_64["execve"], X32 | 520, 0xFFFFFFFF):
        assert run(program, number, NATIVE) == ENOSYS


@pytest.mark.parametrize("by", ["architectures", "archMap"])
def test_architectures_that_a_profile_opens(by: str) -> None:
    others = ("SCMP_ARCH_X86", "SCMP_ARCH_X32")
    named = {"architectures": ("SCMP_ARCH_X86_64", *others, "SCMP_ARCH_S390X")}
    mapped = {"sub_architectures": (("SCMP_ARCH_X86_64", others), ("SCMP_ARCH_AARCH64", ("SCMP_ARCH_ARM",)))}
    keys = named if by == "architectures" else mapped
    profile = Profile("SCMP_ACT_ERRNO", rules=(STARTS, Rule(("mmap2",), "SCMP_ACT_ALLOW")), **keys)
    found = compiled(profile)
    x86 = AUDIT_ARCH["SCMP_ARCH_X86"]
    assert [run(found.program, X86[name], x86) for name in ("execve", "mmap2", "ptrace")] == [ALLOW, ALLOW, EPERM]
    assert run(found.program, X32 | 1, NATIVE) == ENOSYS
    assert found.closed == ("SCMP_ARCH_X32",)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_default_profile_is_small_and_known(machine: str) -> None:
    found = compiled(default_profile(), machine=machine)
    assert found.instructions < 256
    assert found.flags == 4  # SPEC_ALLOW
    assert {name for rule in default_profile().rules for name in rule.names} <= KNOWN


# -- conditions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (Condition(), True),
        (Condition(caps=("CAP_KILL",)), True),
        (Condition(caps=("CAP_KILL", "CAP_CHOWN")), False),
        (Condition(arches=("amd64",)), True),
        (Condition(arches=("arm64", "s390x")), False),
        (Condition(min_kernel=(6, 1)), True),
        (Condition(min_kernel=(6, 2)), False),
    ],
)
def test_includes_and_excludes(condition: Condition, holds: bool) -> None:
    for key in ("includes", "excludes"):
        rule = Rule(("ptrace",), "SCMP_ACT_ALLOW", **{key: condition})  # type: ignore[arg-type]
        program = compiled(Profile("SCMP_ACT_ERRNO", rules=(STARTS, rule)), frozenset({"CAP_KILL"})).program
        if key == "includes":
            assert run(program, X86_64["ptrace"], NATIVE) == (ALLOW if holds else EPERM)
        elif condition != Condition():
            assert run(program, X86_64["ptrace"], NATIVE) == (EPERM if holds or len(condition.caps) > 1 else ALLOW)


# -- the default profile --------------------------------------------------------------------------------------------

NEWUSER, NEWNET, NEWTIME, CLONE_VM = 0x10000000, 0x40000000, 0x80, 0x100
HIGH = 1 << 32
ADMIN = ("CAP_SYS_ADMIN",)


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("read", (), ALLOW),
        ("ptrace", (), ALLOW),
        ("clone3", (), ENOSYS),
        ("io_uring_setup", (), ENOSYS),
        ("io_uring_enter", (), ENOSYS),
        ("listns", (), ENOSYS),
        *((name, (), EPERM) for name in ("keyctl", "add_key", "request_key", "bpf", "perf_event_open", "userfaultfd")),
        *((name, (), EPERM) for name in ("kexec_load", "mount", "umount2", "pivot_root", "open_tree", "fsopen")),
        *((name, (), EPERM) for name in ("setns", "syslog", "quotactl", "open_by_handle_at", "init_module", "reboot")),
        *((name, (), EPERM) for name in ("chroot", "settimeofday", "swapon", "iopl", "vhangup", "acct", "modify_ldt")),
        ("adjtimex", (), ALLOW),
        ("clone", (CLONE_VM,), ALLOW),
        ("clone", (NEWUSER | 17,), EPERM),
        ("clone", (NEWNET,), EPERM),
        ("unshare", (0x400,), ALLOW),  # CLONE_FILES
        ("unshare", (NEWUSER,), EPERM),
        ("unshare", (NEWTIME,), EPERM),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), EPERM),
        ("ioctl", (0, 0x5412 | HIGH), EPERM),
        ("ioctl", (0, 0x541C | 0xDEADBEEF << 32), EPERM),
        ("personality", (0,), ALLOW),
        ("personality", (0xFFFFFFFF,), ALLOW),
        ("personality", (2**64 - 1,), ALLOW),
        ("personality", (0x40000,), ALLOW),
        ("personality", (0x400000,), EPERM),  # READ_IMPLIES_EXEC
        *(("socket", (family, 1, 0), ALLOW) for family in (1, 2, 10, 16)),
        *(("socket", (family, 1, 0), EAFNOSUPPORT) for family in (17, 38, 40, 41, 45)),
        ("socket", (40 | HIGH, 1, 0), EAFNOSUPPORT),
        ("socket", (16, 3, 9), EPROTONOSUPPORT),
        ("socket", (16 | HIGH, 3, 9 | HIGH), EPROTONOSUPPORT),
        ("socketpair", (1, 1, 0), ALLOW),
        ("socketpair", (30, 1, 0), EAFNOSUPPORT),
    ],
)
def test_the_default_profile(name: str, args: tuple[int, ...], expected: int) -> None:
    assert default(name, *args) == expected


@pytest.mark.parametrize(
    ("cap", "name", "args"),
    [
        ("CAP_SYS_ADMIN", "mount", ()),
        ("CAP_SYS_ADMIN", "setns", ()),
        ("CAP_SYS_ADMIN", "unshare", (NEWNET,)),
        ("CAP_SYS_ADMIN", "clone", (NEWNET,)),
        ("CAP_SYS_CHROOT", "chroot", ()),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at", ()),
        ("CAP_NET_RAW", "socket", (17, 3, 0)),
        ("CAP_AUDIT_WRITE", "socket", (16, 3, 9)),
        ("CAP_BPF", "bpf", ()),
        ("CAP_SYS_TIME", "clock_settime", ()),
    ],
)
def test_what_a_capability_opens(cap: str, name: str, args: tuple[int, ...]) -> None:
    assert default(name, *args) != ALLOW
    assert default(name, *args, kept=(cap,)) == ALLOW


def test_user_namespaces_need_more_than_a_capability() -> None:
    assert default("unshare", NEWUSER, kept=ADMIN) == EPERM
    assert default("clone", NEWUSER, kept=ADMIN) == EPERM
    assert default("clone3", kept=ADMIN) == ENOSYS
    for name, args in (("unshare", (NEWUSER,)), ("clone", (NEWUSER,)), ("clone3", ()), ("mount", ()), ("setns", ())):
        assert default(name, *args, nested=True) == ALLOW
