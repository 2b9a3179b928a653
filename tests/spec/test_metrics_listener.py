"""[supervisor.metrics]: loopback addresses only."""

import pytest

from supervisor.spec.load import load_text
from tests.spec.problems import refusal


def listen(value: str) -> str:
    return f"[supervisor.metrics]\nlisten = {value}\n"


@pytest.mark.parametrize("address", ["127.0.0.1:9464", "127.3.2.1:1", "[::1]:65535"])
def test_loopback(address: str) -> None:
    assert load_text(listen(f'"{address}"')).supervisor.metrics.listen == address


@pytest.mark.parametrize(
    "address", ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464", "[2001:db8::1]:9464", "localhost:9464", "a.example:9464"]
)
def test_no_other_address(address: str) -> None:
    (problem,) = refusal(listen(f'"{address}"'))
    assert problem.startswith(f'f.toml:2: supervisor.metrics.listen = "{address}": not a loopback address')
    assert 'did you mean "127.0.0.1:9464"?' in problem


@pytest.mark.parametrize("value", ['"9464"', '"127.0.0.1"', '"127.0.0.1:0"', '"127.0.0.1:65536"', "9464", '""', "[]"])
def test_what_is_no_address(value: str) -> None:
    (problem,) = refusal(listen(value))
    assert problem.startswith("f.toml:2: supervisor.metrics.listen = ")


def test_default_and_other_keys() -> None:
    assert load_text("").supervisor.metrics.listen is None
    (problem,) = refusal("[supervisor.metrics]\nlisen = 1")
    assert "did you mean listen?" in problem
