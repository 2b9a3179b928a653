"""A seccomp profile: which system calls a workload may make, in the words of the OCI runtime specification."""

from typing import Literal

import msgspec

Action = Literal[
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_KILL_PROCESS",
]
Operator = Literal[
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
]
PERMITTING = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
EPERM = 1


class Comparison(msgspec.Struct, frozen=True, omit_defaults=True):
    """One argument against a number, both unsigned and of 64 bits. MASKED_EQ: argument & value == value_two."""

    index: int
    op: Operator
    value: int
    value_two: int = 0


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of a sandbox: what capabilities it keeps, the machine ("amd64"), the kernel."""

    caps: tuple[str, ...] = ()
    arches: tuple[str, ...] = ()
    min_kernel: tuple[int, int] | None = None


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """What becomes of some calls. All of args must hold; those of the same index are alternatives, as in runc."""

    names: tuple[str, ...]
    action: Action
    errno: int = EPERM  # SCMP_ACT_ERRNO
    args: tuple[Comparison, ...] = ()
    includes: Condition = Condition()
    excludes: Condition = Condition()


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first rule of a call that holds decides; the default action does where none is."""

    default_action: Action
    default_errno: int = EPERM
    rules: tuple[Rule, ...] = ()
    architectures: tuple[str, ...] = ()  # beside the machine's own
    sub_architectures: tuple[tuple[str, tuple[str, ...]], ...] = ()  # moby's archMap: for each machine, which others
    flags: tuple[str, ...] | None = None
    unknown: tuple[str, ...] = ()  # names that no table has; the default action is theirs
