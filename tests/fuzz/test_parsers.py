"""Whatever comes in, each reader takes it or refuses it in its own words; nothing else is ever raised."""

import json
import math
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor import wire
from supervisor.cli.log_lines import Line
from supervisor.control.errors import ApiError
from supervisor.control.exec_messages import MAX_MESSAGE_BYTES
from supervisor.control.exec_server import _read, _RefusedError
from supervisor.control.streaming import _number
from supervisor.runtime import notify_socket
from supervisor.runtime.probe_answer import shown
from supervisor.runtime.state import SLOT_BYTES, StateFile, UnreadableStateError
from supervisor.spec import address_forms, env_file, limit_forms, units
from supervisor.spec.errors import ConfigError
from supervisor.spec.forms import FormError
from supervisor.spec.load import load_text
from supervisor.spec.seccomp_file import read_profile
from tests.fuzz.amount import examples
from tests.spec.test_bundle import LEAST

NUMBERS = ["", "-1", "0", "1", "7", "65536", "99999999999999999999", "1e9", "٣", " 7 ", "\ud800", "nan", "true"]
TOKENS = st.one_of(st.sampled_from(NUMBERS), st.text(max_size=12))
MESSAGES = st.one_of(
    st.binary(max_size=300),
    st.lists(TOKENS, max_size=12).map(lambda words: "\0".join(words).encode("utf-8", "surrogatepass")),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(NUMBERS), st.text(max_size=12)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FORMS: list[tuple[Callable[[str], object], type[Exception]]] = [
    (address_forms.parse, FormError),
    (limit_forms.cpu_list, FormError),
    (limit_forms.size_limit, ValueError),
    (limit_forms.scheduling, FormError),
    (limit_forms.io_priority, FormError),
    (units.parse_duration, units.UnitError),
    (units.parse_size, units.UnitError),
    (units.parse_percent, units.UnitError),
    (env_file.parse, env_file.EnvFileError),
]
PIECES = st.lists(st.sampled_from(["127.0.0.1", "[::1]", ":", "80", "/", "udp", "-", ".", "s", "h", "MiB", "%", "%eth0",
                                   "\n", "=", "'", '"', "0", "9" * 30, "٣", "\x00", "{index}", " "]))  # fmt: skip


@examples(200)
@given(MESSAGES)
def test_messages_of_the_wire(data: bytes) -> None:
    assert wire.unpack(data)
    with suppress(wire.WireError):
        steps = wire.decode_plan(data)
        assert [step for step in steps if not isinstance(step[0], str)] == []
    with suppress(wire.WireError):
        wire.untold(data)


@examples(100)
@given(
    st.lists(st.tuples(st.text("abc.", max_size=9), st.lists(TOKENS.filter(lambda one: "\0" not in one), max_size=5)))
)
def test_plans_come_back(steps: list[tuple[str, list[str]]]) -> None:
    with suppress(UnicodeEncodeError):  # a lone surrogate that stands for no byte
        if steps:
            assert wire.decode_plan(wire.encode_plan([(name, tuple(words)) for name, words in steps])) == steps


@examples(200)
@given(st.one_of(st.binary(max_size=300), PIECES.map(lambda words: "".join(words).encode())))
def test_what_workers_say(data: bytes) -> None:
    for name, value in notify_socket.parse(data).items():
        assert name
        assert value.isprintable() or not value
    assert "\n" not in shown(data)


@pytest.mark.parametrize(("parse", "refusal"), FORMS)
@examples(150)
@given(text=st.one_of(st.text(max_size=30), PIECES.map("".join)))
def test_forms(parse: Callable[[str], object], refusal: type[Exception], text: str) -> None:
    with suppress(refusal):
        found = parse(text)
        assert not isinstance(found, float) or math.isfinite(found)


@examples(150)
@given(st.one_of(st.binary(max_size=200), JSON.map(lambda value: json.dumps(value).encode())))
def test_lines_of_a_log(raw: bytes) -> None:
    line = Line.read("web-0", raw, 1.0)
    assert math.isfinite(line.when())
    assert isinstance(line.text(), str)


@examples(150)
@given(st.text(max_size=30))
def test_ids_to_resume_after(text: str) -> None:
    with suppress(ApiError):
        assert 0 <= _number("Last-Event-ID", text) < 2**63


REQUESTS = st.one_of(
    st.binary(max_size=MAX_MESSAGE_BYTES // 1024),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["exec", "signal", "x"])},
        optional=dict.fromkeys(("instance", "command", "env", "working_dir", "user", "terminal"), JSON),
    ).map(lambda value: json.dumps(value).encode()),
)


@examples(200)
@given(REQUESTS)
def test_requests_to_execute(data: bytes) -> None:
    with suppress(_RefusedError):
        assert _read(data, [0, 1, 2]).command


@examples(100)
@given(
    st.one_of(st.sampled_from([b"nsvisor state %d\n" % number for number in (0, 1, 2, 3, 99)]), st.binary(max_size=20)),
    st.lists(st.binary(max_size=200), max_size=4),
)
def test_state_that_somebody_wrote_into(head: bytes, slots: list[bytes]) -> None:
    fd = os.memfd_create("state")
    try:
        os.pwrite(fd, head, 0)
        for number, slot in enumerate(slots):
            os.pwrite(fd, slot, (number + 1) * SLOT_BYTES)
        with suppress(UnreadableStateError):
            assert StateFile(fd).load() == {}
    finally:
        os.close(fd)


def changed(draw: st.DrawFn, value: Any) -> Any:
    """This tree with one place replaced, or a member added."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: changed(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 2)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], changed(draw, value[at]), *value[at + 1 :]]
    if isinstance(value, dict) and draw(st.booleans()):
        return {**value, draw(st.sampled_from(MEMBERS)): draw(JSON)}
    return draw(JSON)


MEMBERS = ["mounts", "hooks", "annotations", "resources", "uidMappings", "seccomp", "rlimits", "capabilities", "env",
           "hostname", "noNewPrivileges", "maskedPaths", "rootfsPropagation", "x", ""]  # fmt: skip
SECCOMP: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "architectures": ["SCMP_ARCH_X86_64"],
    "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}
    ],
}


@st.composite
def mutants(draw: st.DrawFn, whole: Any) -> str:
    for _ in range(draw(st.integers(1, 3))):
        whole = changed(draw, whole)
    text = json.dumps(whole, indent=1)
    if draw(st.booleans()):
        return text
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.text(max_size=3)) + text[at + draw(st.integers(0, 5)) :]


@examples(150)
@given(mutants(LEAST))
def test_bundles(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "rootfs").mkdir()
        file = Path(folder, "config.json")
        file.write_text(text, errors="surrogatepass")
        refused(lambda: load_text(f'[worker.w]\nrootfs = {{ kind = "bundle", path = "{folder}" }}'))


@examples(150)
@given(mutants(SECCOMP))
def test_seccomp_profiles(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "profile.json")
        file.write_text(text, errors="surrogatepass")
        refused(lambda: read_profile(str(file)))


def refused(load: Callable[[], object]) -> None:
    """It loads, or says what is wrong and where."""
    try:
        load()
    except ConfigError as error:
        problems = error.problems
    else:
        return
    assert problems
    for problem in problems:
        assert problem.file
        assert problem.message
        assert str(problem).isprintable()
