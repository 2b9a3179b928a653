"""Each cause of an exit in words."""

import pytest
from msgspec.structs import replace

from supervisor.cli.render_exit import exit_lines, hint_lines, how
from supervisor.spec.records import ExitRecord

MIB = 2**20
DONE = ExitRecord(1, "exit", 1000.0, 2.5)


@pytest.mark.parametrize(
    ("fields", "clause"),
    [
        ({"code": 3}, "it exited with code 3 after 2.5s"),
        ({"code": 137}, "it exited with code 137 (as shells report SIGKILL) after 2.5s"),
        ({"code": 255}, "it exited with code 255 after 2.5s"),
        (
            {"cause": "signal", "signal": "SIGSEGV", "core_dumped": True},
            "it was killed by SIGSEGV after 2.5s and left a core dump",
        ),
        (
            {"cause": "signal", "signal": "SIGSYS", "syscall": "kexec_load"},
            "it was killed by SIGSYS for the system call kexec_load after 2.5s",
        ),
        (
            {
                "cause": "signal",
                "signal": "SIGKILL",
                "oom_killed": True,
                "memory_max_bytes": 64 * MIB,
                "memory_peak_bytes": 64 * MIB,
            },
            "it ran out of memory (limit 64.0M, peak 64.0M) and was killed after 2.5s",
        ),
        ({"cause": "exit", "code": 1, "oom_killed": True}, "it ran out of memory and was killed after 2.5s"),
        (
            {"cause": "network", "signal": "SIGKILL", "reason": "pasta has ended (SIGSEGV)"},
            "it was killed after 2.5s: pasta has ended (SIGSEGV)",
        ),
        ({"cause": "network"}, "it was killed after 2.5s: what connected its network had ended"),
        (
            {"cause": "signal", "signal": "SIGTERM", "requested_by": "ready-timeout", "probe": "refused"},
            "it was not ready in time and was stopped after 2.5s (killed by SIGTERM); its probe saw: refused",
        ),
        ({"code": 0, "requested_by": "ready-timeout"}, "it was not ready in time and was stopped after 2.5s (code 0)"),
        (
            {"cause": "unhealthy", "code": 0, "probe": "HTTP 503"},
            "it was unhealthy and was stopped after 2.5s (code 0); its probe saw: HTTP 503",
        ),
        (
            {"cause": "setup", "phase": "mount.bind", "errno": "ENOENT"},
            "its sandbox could not be built: mount.bind failed with ENOENT",
        ),
        ({"cause": "setup"}, "its sandbox could not be built: set-up failed"),
        ({"cause": "setup-timeout", "phase": "mount.proc"}, "its sandbox was not built in time: mount.proc hung"),
        ({"cause": "interrupted"}, "its daemon died while the sandbox was built"),
        ({"cause": "unknown"}, "how it ended is unknown, since its keeper was gone"),
    ],
)
def test_how_it_ended(fields: dict[str, object], clause: str) -> None:
    assert how(replace(DONE, **fields)) == clause


@pytest.mark.parametrize("by", ["operator", "requires:db"])
def test_who_asked_for_it(by: str) -> None:
    (line,) = exit_lines(replace(DONE, requested_by=by, clean=True), str)
    assert line.endswith(f", asked for by {by}, clean")


def test_hints_are_a_sentence_and_a_command() -> None:
    assert hint_lines("It is absent. Try: ls -l") == ["  It is absent.", "  try: ls -l"]
    assert hint_lines("It is absent.") == ["  It is absent."]
    assert hint_lines(None) == []
