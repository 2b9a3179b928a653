"""What doctor says of pasta: only where a worker asks for it."""

import os
from pathlib import Path

import pytest

from supervisor.host import check_workers
from supervisor.host.facts import gather
from supervisor.spec.model import Network, Worker

WANTS = Worker(name="web", command=("true",), network=Network(mode="pasta"))
PLAIN = Worker(name="plain", command=("true",))


def statuses(*workers: Worker) -> dict[str, str]:
    found = check_workers.check_pasta(list(workers), gather(os.environ))
    return {check.name: check.status for check in found}


def test_nobody_asks() -> None:
    assert statuses(PLAIN) == {}


@pytest.mark.parametrize("there", [True, False])
def test_somebody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    tun = tmp_path / "tun"
    if there:
        tun.write_text("")
        (tmp_path / "pasta").write_text("#!/bin/sh\n")
        (tmp_path / "pasta").chmod(0o755)
    monkeypatch.setattr(check_workers, "TUN", str(tun))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert statuses(PLAIN, WANTS) == dict.fromkeys(("pasta", str(tun)), "ok" if there else "fail")
