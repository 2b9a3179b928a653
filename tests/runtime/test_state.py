import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from supervisor.policy.health import Health, Said
from supervisor.policy.restart import State, Status
from supervisor.runtime.state import (
    SLOT_BYTES,
    VERSION,
    InstanceState,
    StateFile,
    UnreadableStateError,
    take_over,
)

FIRST_VERSION = Path(__file__).with_name("state-1.bin")  # as nsvisor 0.1 wrote it before it knew of versions


@pytest.fixture
def file() -> Iterator[StateFile]:
    one = StateFile()
    yield one
    os.close(one.fd)


def a_state(name: str, incarnation: int = 1, **status: object) -> InstanceState:
    return InstanceState(name, 7, Status(state=State.READY, incarnation=incarnation, **status))  # type: ignore[arg-type]


def reread(file: StateFile) -> dict[str, InstanceState]:
    return StateFile(file.fd).load()


def memfd(content: bytes) -> int:
    fd = os.memfd_create("state", os.MFD_CLOEXEC)
    os.pwrite(fd, content, 0)
    return fd


def the_first_version_is_read(states: dict[str, InstanceState]) -> None:
    assert set(states) == {"web-0", "db"}
    assert states["web-0"] == InstanceState(
        "web-0",
        None,  # another kind of digest: whoever runs is believed to be what the configuration says
        Status(
            state=State.READY,
            since=100.5,
            incarnation=17,
            wanted=True,
            restarts=3,
            ready_at=101.25,
            starts=(100.5,),
        ),
        started_at=1769900399.25,
        exec_at=100.75,
        health=Health(101.5, "healthy", 0, "200 OK"),
        said=Said(status="serving", main_pid=7, state="ready"),
    )
    db = states["db"].status
    assert (db.state, db.incarnation, db.deadline, db.restarts) == (State.BACKOFF, 4, 130.5, 9)


def test_the_first_version_is_read_and_left_as_it_is() -> None:
    content = FIRST_VERSION.read_bytes()
    fd = memfd(content)
    file = StateFile(fd)
    the_first_version_is_read(file.load())
    assert (file.version, file.damaged) == (1, 0)
    assert os.pread(fd, len(content) + 1, 0) == content
    os.close(fd)


def test_the_first_version_is_copied_to_a_file_of_this_one() -> None:
    old = memfd(FIRST_VERSION.read_bytes())
    kept = os.dup(old)  # the keeper's, until it is given the new one
    file, states = take_over(old)
    try:
        the_first_version_is_read(states)
        assert (file.version, StateFile(kept).load().keys()) == (VERSION, states.keys())
        file.save(replace(states["db"], spec=5))
        again, found = take_over(os.dup(file.fd))
        os.close(again.fd)
        assert (again.version, found) == (VERSION, {**states, "db": replace(states["db"], spec=5)})
        assert os.pread(kept, 1 << 20, 0) == FIRST_VERSION.read_bytes()
    finally:
        os.close(kept)
        os.close(file.fd)


def test_one_of_this_version_is_gone_on_with(file: StateFile) -> None:
    file.save(a_state("a"))
    copy = os.dup(file.fd)
    following, states = take_over(copy)
    assert (following.fd, set(states)) == (copy, {"a"})
    os.close(copy)


def test_a_state_from_the_future_is_refused_with_both_versions() -> None:
    fd = memfd(b"nsvisor state 3\nnsvisor 7.8.9\n".ljust(2 * SLOT_BYTES, b"\0"))
    with pytest.raises(UnreadableStateError, match=r"has version 3, written by nsvisor 7\.8\.9; .*versions 1 to 2"):
        take_over(fd)
    os.close(fd)  # it was not closed


@pytest.mark.parametrize("head", [b"", b"\0" * 16, b"nsvisor state two\n", b"nsvisor state 2", b"nsvisor state 0\n"])
def test_what_is_no_state_is_refused(head: bytes) -> None:
    fd = memfd(head.ljust(SLOT_BYTES, b"\0") if head else b"")
    with pytest.raises(UnreadableStateError):
        StateFile(fd).load()
    os.close(fd)


def test_fields_of_a_newer_program_are_passed_over(file: StateFile) -> None:
    data = msgspec.json.encode(a_state("a")).replace(b'"spec":7', b'"spec":7,"mood":"sunny"')
    page = len(data).to_bytes(4, "little") + zlib.crc32(data).to_bytes(4, "little") + data
    os.pwrite(file.fd, page.ljust(SLOT_BYTES, b"\0"), SLOT_BYTES)
    assert reread(file) == {"a": a_state("a")}


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
    following = StateFile(file.fd)
    assert set(following.load()) == {"b"}
    assert following.damaged == any(garbage)


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
