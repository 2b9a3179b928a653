import errno
import os
import resource
from pathlib import Path

import pytest

from supervisor.runtime.history import EXITS, History
from supervisor.spec.records import ExitRecord, LaunchRecord


def launch(incarnation: int, outcome: str = "ok") -> LaunchRecord:
    return LaunchRecord("web", incarnation, 1.0, 2, outcome)  # type: ignore[arg-type]


def exited(incarnation: int) -> ExitRecord:
    return ExitRecord(incarnation, "exit", 1.0, code=3, stderr_tail=("it hurts",))


def test_the_next_daemon_reads_it(tmp_path: Path) -> None:
    history = History(str(tmp_path), "web")
    history.add_launch(launch(4))
    history.add_exit(exited(4))
    history.save()
    after = History(str(tmp_path), "web")
    assert list(after.launches) == [launch(4)]
    assert list(after.exits) == [exited(4)]
    assert after.incarnation == 4


def test_it_is_bounded(tmp_path: Path) -> None:
    history = History(str(tmp_path), "web")
    for number in range(1, 31):
        history.add_launch(launch(number))
        history.add_exit(exited(number))
    history.save()
    after = History(str(tmp_path), "web")
    assert [one.incarnation for one in after.exits] == list(range(31 - EXITS, 31))
    assert [one.incarnation for one in after.launches] == [30]


def test_the_last_launch_that_failed_is_kept_beside_the_last(tmp_path: Path) -> None:
    history = History(str(tmp_path), "web")
    for number, outcome in enumerate(("failed", "ok", "timeout", "ok", "ok"), 1):
        history.add_launch(launch(number, outcome))
    assert [(one.incarnation, one.outcome) for one in history.launches] == [(3, "timeout"), (5, "ok")]


@pytest.mark.parametrize(
    "garbage", [b"", b"{", b"\xff\xfe", b"[]", b'{"incarnation": "no"}', b'{"x": ' + b"[" * 100_000]
)
def test_garbage_is_begun_anew(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "web.json").write_bytes(garbage)
    history = History(str(tmp_path), "web")
    assert (history.incarnation, list(history.exits)) == (0, [])
    history.add_exit(exited(1))
    history.save()
    assert history.error is None
    assert list(History(str(tmp_path), "web").exits) == [exited(1)]


def test_a_file_that_takes_no_more_keeps_what_it_had(tmp_path: Path) -> None:
    history = History(str(tmp_path), "web")
    history.add_exit(exited(1))
    history.save()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))  # as a disk with room for 20 bytes more
    try:
        history.add_exit(exited(2))
        history.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert history.error is not None
    assert history.error.errno in (errno.ENOSPC, errno.EFBIG)
    assert os.listdir(tmp_path) == ["web.json"]
    assert list(History(str(tmp_path), "web").exits) == [exited(1)]
    history.save()
    assert list(History(str(tmp_path), "web").exits) == [exited(1), exited(2)]


def test_a_directory_that_is_gone_is_an_error_and_no_exception(tmp_path: Path) -> None:
    history = History(str(tmp_path / "gone"), "web")
    history.add_exit(exited(1))
    history.save()
    assert history.error is not None
    assert history.error.errno == errno.ENOENT
    history.remove()


def test_removed(tmp_path: Path) -> None:
    history = History(str(tmp_path), "web")
    history.save()
    history.remove()
    assert os.listdir(tmp_path) == []
