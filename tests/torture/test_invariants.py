"""The checks of the torture do see what they are for."""

import json
from pathlib import Path
from typing import Any

from tests.torture.invariants import Invariants, stays_stopped
from tests.torture.lines import Verdict, judge
from tests.torture.workload import line


def detail(incarnation: int, *exits: int, state: str = "ready", restarts: int = 0, pid: int | None = 7) -> Any:
    now = {"name": "a", "incarnation": incarnation, "restarts": restarts, "state": state, "pid": pid, "wanted": True}
    return {"instance": now, "exits": [{"incarnation": number, "code": 1} for number in exits]}


def broken(*details: Any) -> list[str]:
    invariants = Invariants()
    for one in details:
        invariants.look(one)
    return invariants.broken


def test_what_holds_is_not_complained_about() -> None:
    assert broken(detail(1), detail(2, 1, restarts=1), detail(2, 1, 2, state="backoff", restarts=1, pid=None)) == []
    assert broken(detail(30, *range(10, 30))) == []


def test_each_invariant() -> None:
    assert "back to 1" in broken(detail(2, 1), detail(1))[0]
    assert "restarts went from 3 back to 2" in broken(detail(1, restarts=3), detail(1, restarts=2))[0]
    assert "two processes" in broken(detail(1, pid=7), detail(1, pid=8))[0]
    assert "exits of [1, 1] are remembered" in broken(detail(2, 1, 1))[0]
    assert "exits of [] are remembered" in broken(detail(2))[0]
    changed = detail(2, 1)
    changed["exits"][0]["code"] = 2
    assert "its exit changed" in broken(detail(2, 1), changed)[0]
    assert "unkillable" in broken(detail(1, state="unkillable"))[0]
    assert stays_stopped(detail(1)) is not None
    assert stays_stopped({"instance": {"name": "a", "state": "stopped", "wanted": False}}) is None


def verdict(top: Path, numbers: list[int], *records: dict[str, Any], written: int = 5, cut: bytes = b"") -> Verdict:
    (top / "a.1.count").write_text(str(written))
    lines = [line(1, number).decode().removesuffix("\n") for number in numbers]
    lines += [cut.decode()] if cut else []
    stored = [json.dumps({"t": 0, "s": "stdout", "i": 1, "m": text}) for text in lines]
    (top / "a.log").write_text("\n".join(stored) + "\n")
    return judge("a", top / "a.log", top, [{"instance": "a", **record} for record in records])


def test_holes_have_to_be_told(tmp_path: Path) -> None:
    assert verdict(tmp_path, [1, 2, 3, 4, 5]) == Verdict([], [], 5)
    lost = {"event": "log.lost", "lost_bytes_most": 100, "cut_streams": []}
    for numbers in ([1, 2, 4, 5], [1, 2, 3], [2, 3, 4, 5]):
        assert "1 holes in its log, 0 were told" in verdict(tmp_path, numbers).broken[0]
        assert verdict(tmp_path, numbers, lost).broken == []
    assert "2 holes in its log, 1 were told" in verdict(tmp_path, [1, 3, 5], lost).broken[0]
    assert "bytes are missing, told were 1" in verdict(tmp_path, [1, 5], {**lost, "lost_bytes_most": 1}).broken[0]
    assert "line 2 after line 3" in verdict(tmp_path, [1, 2, 3, 2, 4, 5]).broken[0]
    assert "lack their beginning" in verdict(tmp_path, [1, 2, 3, 4, 5], lost, cut=b" ...").broken[0]
    assert verdict(tmp_path, [1, 2, 3, 4, 5], {**lost, "cut_streams": ["stdout"]}, cut=b" ...").broken == []
