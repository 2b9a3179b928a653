"""How many descriptors a fleet needs, and what is said where a limit does not allow them."""

from pathlib import Path

import pytest

from supervisor.spec.descriptors import LAUNCH, OWN, check_descriptors, of_fleet, of_instance
from supervisor.spec.errors import ConfigError
from supervisor.spec.load import load
from supervisor.spec.model import Fleet


def fleet(folder: Path, text: str) -> Fleet:
    file = folder / "nsvisor.toml"
    file.write_text(text)
    return load([str(file)])


@pytest.mark.parametrize(
    ("keys", "daemon", "keeper"),
    [
        ("", 5, 4),
        ('log = { sink = "null" }', 4, 4),
        ("namespaces = { pid = false }", 4, 4),
        ('ready = { kind = "notify" }', 6, 5),
        ('network = { mode = "pasta" }', 7, 7),
        ('health = { kind = "tcp", address = "127.0.0.1:1" }', 13, 4),
        ('rootfs = { kind = "overlay", lower = ["/opt"], upper = "/srv/upper" }', 5, 5),
    ],
)
def test_kinds_of_workers(tmp_path: Path, keys: str, daemon: int, keeper: int) -> None:
    text = f'[worker.w]\ncommand = ["true"]\n{keys}\n'
    assert of_instance(fleet(tmp_path, text).workers["w"]) == (daemon, keeper)


def test_sum_over_the_fleet(tmp_path: Path) -> None:
    text = '[supervisor]\nstart_concurrency = 3\n[worker.a]\ncommand = ["x"]\ninstances = 10\n'
    text += '[worker.b]\ncommand = ["x"]\n'
    own = OWN + 3 * LAUNCH
    assert of_fleet(fleet(tmp_path, text)) == (own + 11 * 5, own + 11 * 4)


def test_too_small_a_limit_is_told_with_place_need_and_remedy(tmp_path: Path) -> None:
    text = '[worker.small]\ncommand = ["x"]\n\n[worker.web]\ncommand = ["x"]\ninstances = 1000\n'
    spec = fleet(tmp_path, text)
    need = of_fleet(spec).most
    check_descriptors(spec, need)
    check_descriptors(spec, None)
    with pytest.raises(ConfigError) as caught:
        check_descriptors(spec, need - 1)
    (problem,) = caught.value.problems
    assert (problem.line, problem.key, problem.value) == (6, "worker.web.instances", "1000")
    for word in (str(need), str(need - 1), "enough for 1000;", f"LimitNOFILE={need}", "limits.conf"):
        assert word in problem.message
    with pytest.raises(ConfigError, match="is 1024, enough for 163;"):
        check_descriptors(spec, 1024)
    with pytest.raises(ConfigError, match="is 20, enough for 0;"):
        check_descriptors(spec, 20)
