import pytest

from tests.spec.problems import refusal
from tests.spec.test_bad_input import cases


@pytest.mark.parametrize(("text", "lines"), cases("bad_mounts.txt"))
def test_bad_mounts(text: str, lines: list[str]) -> None:
    assert refusal(f'[worker.web]\ncommand = ["serve"]\n{text}\n') == lines
