"""A profile to a filter: the rules that hold for this sandbox and machine, by system call, as one program."""

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from supervisor.sandbox.ids import PlanError
from supervisor.sandbox.seccomp.bpf import (
    ARCHITECTURE,
    LONGEST,
    NUMBER,
    Block,
    if_all,
    if_equal,
    load,
    pack,
    search,
    shared,
    verdict,
)
from supervisor.spec.seccomp import PERMITTING, Condition, Profile, Rule
from supervisor.spec.syscalls import NATIVE, NUMBERS

PHASE = "lock.seccomp"
AUDIT_ARCH = {"SCMP_ARCH_X86_64": 0xC000003E, "SCMP_ARCH_AARCH64": 0xC00000B7, "SCMP_ARCH_X86": 0x40000003}
X32 = 0x40000000  # the bit in the number by which x86_64 knows a call of the x32 architecture
FLAGS = {"SECCOMP_FILTER_FLAG_TSYNC": 1, "SECCOMP_FILTER_FLAG_LOG": 2, "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4}
# The kernel's own choice since 5.16: a filter is no reason to switch off speculation in the whole process.
DEFAULT_FLAGS = ("SECCOMP_FILTER_FLAG_SPEC_ALLOW",)
ARCHES = {"amd64": "x86_64", "arm64": "aarch64"}  # Go's names, which profiles use

_RETURNS = {
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
}
_CLOSED = 0x00050000 | 38  # ENOSYS
_NEEDED = ("write", "execve")  # after the filter: to say that the command starts, and to start it


class Filter(msgspec.Struct, frozen=True):
    """What the kernel is given, and what to say of it."""

    program: bytes
    flags: int  # SECCOMP_FILTER_FLAG_*
    instructions: int
    calls: int  # of the machine's own architecture that are allowed, at least with some arguments
    closed: tuple[str, ...]  # architectures that the profile names and that stay closed: there is no table


@lru_cache(maxsize=256)
def compile_filter(profile: Profile, machine: str, release: str, kept: frozenset[str]) -> Filter:
    """Compile for a machine (uname -m), its kernel's release, and the capabilities kept. PlanError."""
    native = NATIVE.get(machine)
    if native is None:
        text = f"there is no table of system calls for {machine}; there are tables for {', '.join(NATIVE)}"
        raise PlanError(PHASE, "ENOTSUP", machine, text)
    rules = [rule for rule in profile.rules if _holds(rule, machine, _version(release), kept)]
    wanted = [*profile.architectures, *dict(profile.sub_architectures).get(native, ())]
    others = [arch for arch in dict.fromkeys(wanted) if arch != native]
    chains = _chains(rules, NUMBERS[native])
    default = _value(profile.default_action, profile.default_errno)
    _check_needed(profile, chains, NUMBERS[native])
    block: Block = verdict(_CLOSED)
    for arch in others:
        if _compatible(native, arch):
            table = NUMBERS[arch]
            block = if_equal(AUDIT_ARCH[arch], _calls(_chains(rules, table), default), block)
    program = shared(load(ARCHITECTURE, if_equal(AUDIT_ARCH[native], _calls(chains, default), block)))
    if len(program) > LONGEST:
        text = f"the filter has {len(program)} instructions, and the kernel takes {LONGEST}"
        raise PlanError(PHASE, "E2BIG", "", text)
    flags = DEFAULT_FLAGS if profile.flags is None else profile.flags
    return Filter(
        program=pack(program),
        flags=sum(FLAGS[flag] for flag in set(flags)),
        instructions=len(program),
        calls=sum(any(rule.action in PERMITTING for rule in chain) for chain in chains.values()),
        closed=tuple(arch for arch in others if _same_machine(native, arch) and not _compatible(native, arch)),
    )


def _compatible(native: str, arch: str) -> bool:
    return (native, arch) == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")


def _same_machine(native: str, arch: str) -> bool:
    """Whether such calls can come at all on this machine."""
    return arch in {"SCMP_ARCH_X86_64": ("SCMP_ARCH_X86", "SCMP_ARCH_X32")}.get(native, ("SCMP_ARCH_ARM",))


def _version(release: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _holds(rule: Rule, machine: str, kernel: tuple[int, int], kept: frozenset[str]) -> bool:
    """Whether a rule is for this sandbox: every condition of includes holds, none of excludes."""
    wanted, unwanted = rule.includes, rule.excludes
    return (
        kept.issuperset(wanted.caps)
        and (not wanted.arches or machine in _machines(wanted))
        and (wanted.min_kernel is None or kernel >= wanted.min_kernel)
        and kept.isdisjoint(unwanted.caps)
        and machine not in _machines(unwanted)
        and (unwanted.min_kernel is None or kernel < unwanted.min_kernel)
    )


def _machines(condition: Condition) -> tuple[str, ...]:
    return tuple(ARCHES.get(name, name) for name in condition.arches)


def _chains(rules: list[Rule], table: Mapping[str, int]) -> dict[int, list[Rule]]:
    """The rules of each number, in the order of the profile, up to one that always holds."""
    chains: dict[int, list[Rule]] = {}
    for rule in rules:
        for name in rule.names:
            number = table.get(name)
            if number is None:
                continue
            chain = chains.setdefault(number, [])
            if not chain or chain[-1].args:
                chain.append(rule)
    return chains


def _value(action: str, errno: int) -> int:
    return _RETURNS[action] | (errno if action == "SCMP_ACT_ERRNO" else 0)


def _calls(chains: dict[int, list[Rule]], default: int) -> Block:
    """A search over the ranges of numbers that fare alike; numbers of x32 and above are closed."""
    starts: list[int] = []
    blocks: list[Block] = []
    otherwise = verdict(default)
    points: dict[int, Block] = {0: otherwise, X32: verdict(_CLOSED)}
    for number in sorted(chains):
        points[number] = _chain(chains[number], otherwise)
        if number + 1 not in chains:
            points[number + 1] = otherwise
    for start in sorted(points):
        if not blocks or points[start] != blocks[-1]:
            starts.append(start)
            blocks.append(points[start])
    return load(NUMBER, search(starts, blocks))


def _chain(rules: list[Rule], otherwise: Block) -> Block:
    block = otherwise
    for rule in reversed(rules):
        then = verdict(_value(rule.action, rule.errno))
        indexes = [comparison.index for comparison in rule.args]
        if not indexes:
            block = then
        elif len(set(indexes)) == len(indexes):
            block = if_all(rule.args, then, block)
        else:  # as runc has it: one argument cannot be two things, so they are alternatives
            for comparison in reversed(rule.args):
                block = if_all((comparison,), then, block)
    return block


def _check_needed(profile: Profile, chains: dict[int, list[Rule]], table: Mapping[str, int]) -> None:
    for name in _NEEDED:
        chain = chains.get(table[name], [])
        actions = [rule.action for rule in chain]
        if not chain or chain[-1].args:
            actions.append(profile.default_action)
        if not any(action in PERMITTING for action in actions):
            raise PlanError(PHASE, "EPERM", name, f"the profile never allows {name}: no command could be started")
