"""What doctor says of Landlock."""

import errno
from pathlib import Path
from typing import Any

import pytest

from supervisor.host.check_locks import check_landlock, check_seal
from supervisor.kernel import landlock as kernel
from supervisor.kernel.libc import KernelError
from supervisor.spec.model import Security, Worker
from supervisor.spec.model_sandbox import Landlock


def worker(**keys: Any) -> Worker:
    return Worker("web", ("serve",), security=Security(landlock=Landlock(**keys)))


@pytest.mark.parametrize(
    ("version", "keys", "status"),
    [
        (7, {}, "ok"),
        (1, {}, "ok"),
        (1, {"read": ()}, "ok"),
        (4, {"connect_tcp": ()}, "ok"),
        (3, {"connect_tcp": ()}, "warn"),
        (4, {"write": ()}, "warn"),
        (5, {"signals": False}, "warn"),
        (5, {"signals": False, "required": True}, "fail"),
        (6, {"signals": False, "write": (), "required": True}, "ok"),
    ],
)
def test_it_is_measured_by_what_workers_ask_for(
    monkeypatch: pytest.MonkeyPatch, version: int, keys: dict[str, Any], status: str
) -> None:
    monkeypatch.setattr(kernel, "abi", lambda: version)
    found = check_landlock([worker(**keys)])
    assert (found.status, found.found) == (status, f"ABI {version}")
    assert (found.fix is None) == (status == "ok")


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSYS, "not in this kernel"), (errno.EOPNOTSUPP, "not enabled at boot")]
)
def test_without_it(monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    def refuse() -> int:
        raise KernelError(number, "landlock_create_ruleset")

    monkeypatch.setattr(kernel, "abi", refuse)
    assert check_landlock([worker()]).status == "ok"
    found = check_landlock([worker(), worker(write=())])
    assert (found.status, found.found) == ("fail", words)


def test_the_seal_needs_a_writable_proc_sys(tmp_path: Path) -> None:
    assert list(check_seal([worker()], str(tmp_path))) == []
    missing = str(tmp_path / "none")
    (found,) = check_seal([worker()], missing)
    assert (found.status, found.found) == ("fail", f"{missing} is read-only")
    assert "nested_userns = true" in (found.fix or "")
    open_to_more = Worker("web", ("serve",), security=Security(nested_userns=True))
    assert list(check_seal([open_to_more], missing)) == []


def test_this_kernel() -> None:
    assert check_landlock([worker()]).name == "landlock"
