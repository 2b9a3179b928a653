"""What `doctor` says about workers' ids."""

from pathlib import Path

import msgspec
import pytest

from supervisor.host.check_ids import check_ids
from supervisor.spec.facts import HostFacts, IdRange
from supervisor.spec.model import Worker

SPANS = (IdRange(100000, 65536),)
ADA = HostFacts(uid=1000, gid=1000, user="ada", home="/", privileged=False, view=(), subuids=SPANS, subgids=SPANS)
ROOT = msgspec.structs.replace(ADA, uid=0, gid=0, user="root", privileged=True, subuids=(), subgids=())


def worker(name: str = "web", **keys: object) -> Worker:
    return Worker(name=name, command=("sh",), **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "status"), [(None, "ok"), (32768, "ok"), (32769, "fail")])
def test_enough_ids(count: int | None, status: str, tmp_path: Path) -> None:
    workers = [worker(name, id_map="auto", id_count=count) for name in ("web", "db")]
    (check,) = check_ids(workers, ADA, str(tmp_path))
    assert (check.name, check.status) == ("ids", status)
    assert check.found == f"{2 * (count or 1024)} of 65536 are for 2 workers"
    assert (check.fix is None) == (status == "ok")


def test_lines_that_overlap(tmp_path: Path) -> None:
    (tmp_path / "subuid").write_text("ada:100000:65536\nbob:165535:10\neve:165536:10\n1000:1:1\n")
    (tmp_path / "subgid").write_text("100:100005:1\n")
    found = list(check_ids([worker(id_map="auto")], ADA, str(tmp_path)))
    assert [(check.name, check.found.split(" ")[0]) for check in found[1:]] == [
        ("/etc/subuid", "bob's"),
        ("/etc/subgid", "100's"),
    ]
    assert all(check.fix is not None and check.fix.endswith(" ada") for check in found[1:])


def test_keep_id_beside_slices(tmp_path: Path) -> None:
    workers = [worker("web", id_map="auto"), worker("db", id_map="keep-id")]
    (check,) = (one for one in check_ids(workers, ADA, str(tmp_path)) if one.status == "warn")
    assert check.found.startswith("db: keep-id maps all")


def test_workers_that_are_the_hosts_root(tmp_path: Path) -> None:
    workers = [worker("a"), worker("b", user="root"), worker("c", user=33), worker("d", id_map="auto")]
    (check,) = (one for one in check_ids(workers, ROOT, str(tmp_path)) if one.status == "warn")
    assert check.found.startswith("a, b: the host's root")
    assert list(check_ids(workers[:3], ADA, str(tmp_path))) == []
    assert list(check_ids([worker("e", id_map="auto")], msgspec.structs.replace(ADA, subgids=()), str(tmp_path))) == []
