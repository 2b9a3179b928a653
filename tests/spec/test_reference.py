"""conf/nsvisor.toml shows every key with its default."""

import re
from pathlib import Path

from supervisor.spec.load import load_config, load_text
from supervisor.spec.model import MetricsListener, Supervisor, Worker
from tests.spec.problems import ENVIRON
from tests.spec.test_schema import uncommented

FILE = Path(__file__).parents[2] / "conf" / "nsvisor.toml"
COMMAND = ("/usr/bin/sleep", "infinity")


def test_it_loads_as_it_is() -> None:
    fleet = load_config(str(FILE), ENVIRON)
    assert fleet.workers["every-default"] == Worker("every-default", COMMAND)


def test_what_it_shows_are_the_defaults() -> None:
    fleet = load_text(uncommented(FILE.read_text()), str(FILE), ENVIRON)
    assert fleet.supervisor == Supervisor(
        metrics=MetricsListener("127.0.0.1:9464")
    )  # an example, for want of a default
    assert fleet.workers["every-default"] == Worker("every-default", COMMAND)
    other = fleet.workers["every-other"]
    assert other.limits.cpu_s == 3600
    assert len(other.mounts) == 3
    assert other.restart.reset_after_s == 60


def test_every_commented_line_is_prose_or_a_key() -> None:
    for line in FILE.read_text().split("\n"):
        if line.startswith("#"):
            assert re.match(r"#(:schema |$| [^ ]|[a-z_]+ = |  \{|\])", line), line
