import os
import zlib
from collections.abc import Iterator

import msgspec
import pytest
from msgspec.structs import replace

from supervisor.policy.restart import State, Status
from supervisor.runtime.state import MAGIC, SLOT_BYTES, InstanceState, StateFile, digest
from supervisor.spec.model import Log, Restart, Worker


@pytest.fixture
def file() -> Iterator[StateFile]:
    one = StateFile()
    yield one
    os.close(one.fd)


def a_state(name: str, incarnation: int = 1, **status: object) -> InstanceState:
    return InstanceState(name, 7, Status(state=State.READY, incarnation=incarnation, **status))  # type: ignore[arg-type]


def reread(file: StateFile) -> dict[str, InstanceState]:
    return StateFile(file.fd).load()


def test_the_next_daemon_reads_what_was_written_last(file: StateFile) -> None:
    file.save(a_state("web"))
    file.save(replace(a_state("db"), started_at=1.5, exec_at=2.5))
    file.save(a_state("web", 2, wanted=True, deadline=12.25))
    found = reread(file)
    assert found["web"] == a_state("web", 2, wanted=True, deadline=12.25)
    assert (found["db"].started_at, found["db"].exec_at) == (1.5, 2.5)


def test_slots_are_used_again(file: StateFile) -> None:
    for round_ in range(50):
        file.save(a_state(f"web-{round_}"))
        file.forget(f"web-{round_}")
    assert os.fstat(file.fd).st_size == 2 * SLOT_BYTES
    assert reread(file) == {}


def test_slots_that_were_free_before_are_used_by_the_next_daemon(file: StateFile) -> None:
    for name in ("a", "b", "c"):
        file.save(a_state(name))
    file.forget("b")
    following = StateFile(file.fd)
    assert set(following.load()) == {"a", "c"}
    following.save(a_state("d"))
    following.save(a_state("a", 9))
    assert os.fstat(file.fd).st_size == 4 * SLOT_BYTES
    found = reread(file)
    assert set(found) == {"a", "c", "d"}
    assert found["a"].status.incarnation == 9


def test_what_nobody_has_is_forgotten_quietly(file: StateFile) -> None:
    file.forget("nobody")
    assert reread(file) == {}


@pytest.mark.parametrize(
    "garbage",
    [
        os.urandom(SLOT_BYTES),
        b"\xff" * SLOT_BYTES,
        b"\0" * SLOT_BYTES,
        (2).to_bytes(4, "little") + (0x12345678).to_bytes(4, "little") + b"{}",
    ],
)
def test_garbage_in_a_slot_costs_that_slot_only(file: StateFile, garbage: bytes) -> None:
    file.save(a_state("a"))
    file.save(a_state("b"))
    os.pwrite(file.fd, garbage.ljust(SLOT_BYTES, b"\0"), SLOT_BYTES)
    assert set(reread(file)) == {"b"}


def test_a_torn_page_is_left_out(file: StateFile) -> None:
    file.save(a_state("a"))
    page = os.pread(file.fd, SLOT_BYTES, SLOT_BYTES)
    file.save(a_state("a", 12345, stopped_by="operator"))
    os.pwrite(file.fd, page[:60], SLOT_BYTES)
    assert reread(file) == {}


def test_a_file_that_ends_inside_a_slot(file: StateFile) -> None:
    file.save(a_state("a"))
    file.save(a_state("b"))
    os.ftruncate(file.fd, 2 * SLOT_BYTES + 30)
    assert set(reread(file)) == {"a"}


@pytest.mark.parametrize("head", [b"nsvisor state 2\n", b"", b"\0" * 16])
def test_another_version_is_refused(file: StateFile, head: bytes) -> None:
    os.pwrite(file.fd, head.ljust(len(MAGIC), b"\0"), 0)
    with pytest.raises(ValueError, match="another version"):
        reread(file)


def test_states_that_this_version_does_not_know_are_left_out(file: StateFile) -> None:
    file.save(a_state("a"))
    data = msgspec.json.encode(a_state("b")).replace(b'"ready"', b'"dreaming"')
    page = len(data).to_bytes(4, "little") + zlib.crc32(data).to_bytes(4, "little") + data
    os.pwrite(file.fd, page.ljust(SLOT_BYTES, b"\0"), 2 * SLOT_BYTES)
    assert set(reread(file)) == {"a"}


def test_hundreds_of_restarts_keep_to_their_slot(file: StateFile) -> None:
    starts = tuple(1234567.123456789 + step for step in range(400))
    file.save(a_state("a", starts=starts))
    file.save(a_state("b"))
    found = reread(file)
    assert set(found) == {"a", "b"}
    assert found["a"].status.starts == starts[-100:]
    assert os.fstat(file.fd).st_size == 3 * SLOT_BYTES


def test_the_offset_is_left_alone(file: StateFile) -> None:
    os.lseek(file.fd, 5, os.SEEK_SET)
    file.save(a_state("a"))
    reread(file)
    assert os.lseek(file.fd, 0, os.SEEK_CUR) == 5


def test_the_digest_tells_what_a_reload_would_launch_anew_for() -> None:
    worker = Worker(name="web", command=("sleep", "1"))
    assert digest(worker) == digest(replace(worker, restart=Restart(policy="never"), instances=3, after=("db",)))
    assert digest(worker) != digest(replace(worker, command=("sleep", "2")))
    assert digest(worker) != digest(replace(worker, log=Log(sink="null")))
    assert digest(replace(worker, env={"A": "1", "B": "2"})) == digest(replace(worker, env={"B": "2", "A": "1"}))
