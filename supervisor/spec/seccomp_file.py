"""Read a seccomp profile in OCI's JSON (runtime-spec, config-linux.md), or moby's superset of it.

A bundle's config.json will do, too: its linux.seccomp is meant.
"""

import re
from collections.abc import Mapping
from typing import Any, get_args

from supervisor.spec import forms
from supervisor.spec.bundle import json_lines
from supervisor.spec.errors import ConfigError, Problem
from supervisor.spec.json_table import JsonTable
from supervisor.spec.locate import Path
from supervisor.spec.seccomp import EPERM, PERMITTING, Action, Comparison, Condition, Operator, Profile, Rule
from supervisor.spec.show import show
from supervisor.spec.source import read_text
from supervisor.spec.syscalls import KNOWN

ACTIONS: tuple[str, ...] = get_args(Action)
OPERATORS: tuple[str, ...] = get_args(Operator)
FLAGS = ("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW")
# Each needs a second process that answers for the workload, for as long as that lives.
UNSUPPORTED = ("SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE")
MAX_ERRNO = 4095
_NAME = re.compile("[a-z0-9_]{1,64}")
_PROFILE_KEYS = (
    *("defaultAction", "defaultErrnoRet", "architectures", "archMap", "flags", "syscalls"),
    *("listenerPath", "listenerMetadata"),
)
_RULE_KEYS = ("names", "action", "errnoRet", "args", "includes", "excludes")
_ARGUMENT_KEYS = ("index", "value", "valueTwo", "op")
_CONDITION_KEYS = ("caps", "arches", "minKernel")


def read_profile(file: str) -> Profile:
    """Read and check a profile. ConfigError with all that is wrong with it."""
    text = read_text(file)
    try:
        data, lines = json_lines.parse(text)
    except json_lines.JsonError as error:
        raise ConfigError([Problem(file, error.line, "", str(error))]) from None
    reader = _Reader(file, lines)
    path: Path = ()
    if isinstance(data, dict) and "ociVersion" in data:
        linux = data.get("linux")
        data, path = linux.get("seccomp") if isinstance(linux, dict) else None, ("linux", "seccomp")
    profile = reader.profile(data, path)
    if reader.problems:
        raise ConfigError(reader.problems)
    return profile


class _Reader(JsonTable):
    """One profile."""

    def profile(self, data: Any, path: Path) -> Profile:
        table = self.table(data, path, _PROFILE_KEYS)
        for key in ("listenerPath", "listenerMetadata"):
            if table.get(key):
                self.bad((*path, key), "not supported: nobody would listen", table[key])
        if isinstance(data, dict) and "defaultAction" not in data:
            self.bad((*path, "defaultAction"), "missing", allowed=", ".join(ACTIONS))
        default = self.choice(table, "defaultAction", path, ACTIONS, "SCMP_ACT_ERRNO", UNSUPPORTED)
        rules = [
            self._rule(rule, (*path, "syscalls", index), default)
            for index, rule in enumerate(self.list(table, "syscalls", path))
        ]
        names = {name for rule in rules for name in rule.names}
        return Profile(
            default_action=default,
            default_errno=self.number(table, "defaultErrnoRet", path, EPERM, MAX_ERRNO),
            rules=tuple(rules),
            architectures=self.words(table, "architectures", path),
            sub_architectures=self._arch_map(table, path),
            flags=self._flags(table, path),
            unknown=tuple(sorted(names - KNOWN)),
        )

    def _rule(self, data: Any, path: Path, default: str) -> Rule:
        table = self.table(data, path, _RULE_KEYS)
        for key in ("names", "action") if isinstance(data, dict) else ():
            if key not in table:
                self.bad((*path, key), "missing", allowed="names of system calls" if key == "names" else "an action")
        names = self.words(table, "names", path)
        action = self.choice(table, "action", path, ACTIONS, "SCMP_ACT_ERRNO", UNSUPPORTED)
        for index, name in enumerate(names):
            if not _NAME.fullmatch(name):
                self.bad((*path, "names", index), "not a system call's name", name, allowed="a-z, 0-9 and _")
        if default in PERMITTING and action not in PERMITTING:  # elsewhere an unknown call is closed anyway
            for index, name in enumerate(names):
                if name not in KNOWN:
                    near = forms.nearest(name, sorted(KNOWN))
                    message = "no system call that is known; as the default is to allow, it would stay open"
                    self.bad((*path, "names", index), message, name, nearest=near and show(near))
        return Rule(
            names=names,
            action=action,
            errno=self.number(table, "errnoRet", path, EPERM, MAX_ERRNO),
            args=tuple(
                self._comparison(one, (*path, "args", index))
                for index, one in enumerate(self.list(table, "args", path))
            ),
            includes=self._condition(table.get("includes"), (*path, "includes")),
            excludes=self._condition(table.get("excludes"), (*path, "excludes")),
        )

    def _comparison(self, data: Any, path: Path) -> Comparison:
        table = self.table(data, path, _ARGUMENT_KEYS)
        for key in ("index", "value", "op") if isinstance(data, dict) else ():
            if key not in table:
                self.bad((*path, key), "missing")
        comparison = Comparison(
            index=self.number(table, "index", path, 0, 5),
            op=self.choice(table, "op", path, OPERATORS, "SCMP_CMP_EQ"),
            value=self.number(table, "value", path, 0, 2**64 - 1),
            value_two=self.number(table, "valueTwo", path, 0, 2**64 - 1),
        )
        if comparison.op == "SCMP_CMP_MASKED_EQ" and comparison.value_two & ~comparison.value:
            allowed = "valueTwo within value, which is the mask"
            self.bad((*path, "valueTwo"), "can never be equal", comparison.value_two, allowed=allowed)
        return comparison

    def _condition(self, data: Any, path: Path) -> Condition:
        table = self.table({} if data is None else data, path, _CONDITION_KEYS)
        kernel = table.get("minKernel")
        found = re.fullmatch(r"(\d{1,4})\.(\d{1,4})(\..*)?", kernel) if isinstance(kernel, str) else None
        if kernel is not None and found is None:
            self.bad((*path, "minKernel"), "not a kernel's version", kernel, allowed='such as "4.8"')
        return Condition(
            caps=self.words(table, "caps", path),
            arches=self.words(table, "arches", path),
            min_kernel=(int(found[1]), int(found[2])) if found else None,
        )

    def _arch_map(self, table: Mapping[str, Any], path: Path) -> tuple[tuple[str, tuple[str, ...]], ...]:
        found = []
        for index, one in enumerate(self.list(table, "archMap", path)):
            where = (*path, "archMap", index)
            entry = self.table(one, where, ["architecture", "subArchitectures"])
            (name,) = self.words({"architecture": [entry.get("architecture")]}, "architecture", where) or ("",)
            found.append((name, self.words(entry, "subArchitectures", where)))
        return tuple(found)

    def _flags(self, table: Mapping[str, Any], path: Path) -> tuple[str, ...] | None:
        if table.get("flags") is None:
            return None
        flags = self.words(table, "flags", path)
        for index, flag in enumerate(flags):
            if flag not in FLAGS:
                self.bad((*path, "flags", index), "not supported", flag, allowed=", ".join(FLAGS))
        return tuple(flag for flag in flags if flag in FLAGS)
