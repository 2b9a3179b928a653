"""In CI a skipped test is a failure, unless allowed_skips.txt names it."""

import os
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("allowed_skips.txt")


def allowed() -> tuple[str, ...]:
    """The node ids (or their beginnings) that may be skipped."""
    lines = (line.partition("#")[0].strip() for line in LIST.read_text().splitlines())
    return tuple(line for line in lines if line)


def judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip that is not allowed into a failure."""
    if os.environ.get("CI") != "true" or not report.skipped or hasattr(report, "wasxfail"):
        return
    if report.nodeid.startswith(allowed()):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid}: {reason}\n(CI allows only the skips listed in tests/{LIST.name})"
