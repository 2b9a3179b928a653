"""From a failed phase to words an operator can act on."""

import re
import shlex

import msgspec

from supervisor.sandbox import hints_bridge, hints_ids
from supervisor.sandbox.hint_table import (
    ANYWHERE,
    BY_SYSCALL,
    NO_SUBID,
    SETUP_TIMEOUT,
    TABLE,
    TIMEOUT_ANYWHERE,
    TIMEOUTS,
    Row,
)
from supervisor.sandbox.hints_targets import AT_TARGET
from supervisor.spec.facts import HostFacts

__all__ = ["NO_SUBID", "SETUP_TIMEOUT", "Hint", "hint"]

HOMES = ("/home/", "/root/", "/var/home/")


class Hint(msgspec.Struct, frozen=True):
    """What a failure usually means, and one command that shows more or puts it right."""

    sentence: str
    command: str | None = None

    def __str__(self) -> str:
        """Both, as one line of a log."""
        return f"{self.sentence} Try: {self.command}" if self.command else self.sentence


def hint(
    phase: str,
    errno_name: str,
    detail: str = "",
    facts: HostFacts | None = None,
    *,
    syscall: str = "",
    message: str = "",
    instance: str = "",
    root: str | None = "",
) -> Hint | None:
    """What it usually means when this phase fails with this errno ("EPERM"); None where nothing is known.

    detail: the step's, as the plan has it; syscall: the call that failed; message: what it said beside its errno.
    root: the path of the sandbox's root on the host, None where it has none.
    Beside the kernel's names: SETUP_TIMEOUT, NO_SUBID, and "SIGKILL" or "SIGSYS" for a child that died in the phase.
    """
    subject = _overlaid(phase, detail, message) or _subject(phase, detail)
    row = _special(phase, errno_name, subject, message, facts) or _row(phase, errno_name, syscall)
    if row is None:
        return None
    sentence, command = row
    if command is not None:
        target = _target(phase, detail)
        if "{target}" in command and (root is None or not target):
            command = "nsvisor plan {instance}"
        user = facts.user or str(facts.uid) if facts is not None else "$USER"
        places = {
            "{detail}": shlex.quote(subject) if subject else "PATH",
            "{target}": shlex.quote(f"{root}{target}"),
            "{user}": user,
            "{instance}": instance or "NAME",
        }
        for place, value in places.items():
            command = command.replace(place, value)
    return Hint(sentence=sentence, command=command)


def _row(phase: str, errno_name: str, syscall: str) -> Row | None:
    if errno_name == SETUP_TIMEOUT:
        return TIMEOUTS.get(phase, TIMEOUT_ANYWHERE)
    if (phase, errno_name, syscall) in BY_SYSCALL:
        return BY_SYSCALL[phase, errno_name, syscall]
    if phase.startswith("mount.") and (errno_name, syscall) in AT_TARGET:
        return AT_TARGET[errno_name, syscall]
    return TABLE.get(phase, {}).get(errno_name) or ANYWHERE.get(errno_name)


def _subject(phase: str, detail: str) -> str:
    """The path or name in a step's detail, as the plan writes it: of a bind the source, of a command its first word."""
    if phase == "mount.bind":
        return re.split(r" (?:->|on) ", detail, maxsplit=1)[0]
    if phase == "mount.overlay":
        return _layer(detail.partition(": ")[2])
    if phase == "exec" or phase.startswith("mount."):
        return detail.partition(" ")[0].rstrip(",")
    if detail.startswith("overlay "):
        return _layer(detail.removeprefix("overlay "))
    return detail.removeprefix("dir ") if phase == "rootfs.prepare" else detail


def _overlaid(phase: str, detail: str, message: str) -> str:
    """Which of an overlay's directories the message is about; "" where it names none."""
    path = message.partition(": ")[0]
    overlaid = phase == "mount.overlay" or detail.startswith("overlay ")
    return path if overlaid and path.startswith("/") and path in re.split(r"[ :,]+", detail) else ""


def _target(phase: str, detail: str) -> str:
    """Where a mount is to be inside."""
    if phase == "mount.bind":
        return re.split(r" (?:->|on) ", f"{detail} -> ", maxsplit=2)[1].partition(" ")[0]
    return detail.partition(" ")[0].rstrip(",:") if phase.startswith("mount.") else ""


def _layer(described: str) -> str:
    """Of an overlay the upper directory, where it has one, else the topmost lower one."""
    above, _, below = described.partition(" over ")
    return above if above.startswith("/") else below.split(" ")[0]


def _special(phase: str, errno_name: str, subject: str, message: str, facts: HostFacts | None) -> Row | None:
    """The errors whose usual reason depends on what the phase was about, or on the host."""
    if phase == hints_bridge.PHASE and subject.startswith(hints_bridge.PREFIX):
        return hints_bridge.ROWS.get(errno_name)
    if phase == "exec" and errno_name == "ENOENT":
        if "its interpreter is not" in message:
            return (
                "The file is there; the interpreter that its #! line or its ELF header names is not in the sandbox.",
                "head -n 1 {detail}",
            )
        if _in_home(subject, facts):
            return (
                "The command lies in a home directory, which the host view does not show: bind it, or use /usr/local.",
                "ls -l {detail}",
            )
        if "in the sandbox's PATH" in message:
            return (
                "No directory of the worker's PATH has it inside the sandbox; homes and /opt are not in the host view.",
                "command -v {detail}",
            )
    if phase == "exec" and errno_name == "EACCES" and message.endswith("a directory"):
        return ("The command is a directory.", "ls -ld {detail}")
    if phase == "cwd.enter" and errno_name == "ENOENT" and "outside the sandbox" in message:
        return (
            "A descriptor of a directory outside leaked in: the working directory would lie outside the root.",
            None,
        )
    if phase == "id.map" and errno_name == "EINVAL" and "keep-id" in message:
        return ("The sandbox maps one id only, and that user is another: a range is needed (id_map, uid_map).", None)
    if phase in {"mount.bind", "rootfs.prepare"} and errno_name == "EPERM" and '"idmap"' in message:
        return hints_ids.NO_TRANSLATION
    if phase == "id.map" and "is outside the worker's" in message:
        return hints_ids.OUTSIDE_SLICE
    if phase == "id.map" and errno_name == "EPERM" and "'s to map" in message and "no subordinate" not in message:
        return hints_ids.NOT_COVERED
    if phase == "id.map" and errno_name in {"EPERM", "ENOSPC"} and "no subordinate" in message:
        return TABLE[phase][NO_SUBID]
    if phase == "clone" and errno_name == "EPERM" and facts is not None and facts.privileged:
        return (
            "Even with root's rights: nsvisor runs in a chroot, or a container's seccomp profile forbids namespaces.",
            "findmnt /; grep Seccomp /proc/self/status",
        )
    return None


def _in_home(path: str, facts: HostFacts | None) -> bool:
    if path.startswith(HOMES):
        return True
    return facts is not None and len(facts.home) > 1 and path.startswith(facts.home.rstrip("/") + "/")
