"""The doctor's line about seccomp."""

from pathlib import Path

from supervisor.host.check_seccomp import check_seccomp
from supervisor.spec.model import Security, Worker

PLAIN = Worker(name="a", command=("true",))
OFF = Worker(name="b", command=("true",), security=Security(seccomp="off"))


def test_a_kernel_that_filters(tmp_path: Path) -> None:
    actions = tmp_path / "actions_avail"
    actions.write_text("kill_process errno allow\n")
    (check,) = check_seccomp([PLAIN, OFF], "x86_64", str(actions))
    assert (check.status, check.found) == ("ok", "the kernel has kill_process errno allow")


def test_a_kernel_that_does_not(tmp_path: Path) -> None:
    (check,) = check_seccomp([PLAIN], "x86_64", str(tmp_path / "none"))
    assert check.status == "fail"
    assert 'seccomp = "off"' in (check.fix or "")


def test_a_machine_without_a_table() -> None:
    (check,) = check_seccomp([PLAIN], "s390x")
    assert (check.status, check.found) == ("fail", "no table of system calls for s390x")


def test_nobody_wants_it(tmp_path: Path) -> None:
    assert list(check_seccomp([OFF], "s390x", str(tmp_path / "none"))) == []
