"""Measure, print, and keep the figures as JSON and as a picture. See README.md for what they mean."""

import argparse
import dataclasses
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cli
import crowd
import idle
import launch
import logs
import memory
import picture
import rate
import restart
import start_all
import steps
from context import Context
from figures import Report, Target
from scale import SCALES
from workload import Workload, busy_share

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PICTURE = HERE.parent / "docs/explanation/speed.svg"

QUESTIONS: dict[str, Callable[[Context], Iterable[Report]]] = {
    "launch": launch.measure,
    "launch-default": launch.measure_default,
    "launch-net": launch.measure_net,
    "steps": steps.measure,
    "rate": rate.measure,
    "restart": restart.measure,
    "storm": start_all.measure,
    "crowd": crowd.measure,
    "memory": memory.measure,
    "idle": idle.measure,
    "cli": cli.measure,
    "logs": logs.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=list(QUESTIONS), help="this question; more than once: these")
    parser.add_argument(
        "--quick", dest="scale", action="store_const", const="quick", default="full", help="two minutes"
    )
    parser.add_argument("--scale", choices=list(SCALES), help="tiny only shows that it works")
    parser.add_argument("--rounds", type=int, help="so many of every question that is asked in rounds")
    parser.add_argument("--json", type=Path, help="default: a new file in bench/results")
    parser.add_argument("--picture", type=Path, help="draw the figures as SVG here; of a full run: the docs'")
    options = parser.parse_args()
    scale = dataclasses.replace(SCALES[options.scale])
    if options.rounds:
        rounds = {name: options.rounds for name in vars(scale) if name.endswith("_rounds")}
        scale = dataclasses.replace(scale, **rounds)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is ended
    _, mark = busy_share()
    reports: list[Report] = []
    began = time.monotonic()
    top = Path(tempfile.mkdtemp(prefix="nsvisor-bench-"))
    top.chmod(0o755)
    try:
        workload = Workload(top)
        for name in options.only or QUESTIONS:
            for report in QUESTIONS[name](Context(top, workload, scale)):
                report.show()
                sys.stdout.flush()
                reports.append(report)
    finally:
        shutil.rmtree(top)
    busy, _ = busy_share(mark)
    show_targets([target for report in reports for target in report.targets])
    results = {
        "time": time.time(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "user": "root" if os.geteuid() == 0 else "ordinary",
        "scale": options.scale,
        "machine_busy": busy,
        "seconds": time.monotonic() - began,
        "reports": [as_json(report) for report in reports],
    }
    file = keep(results, options.json)
    print(f"\nmachine {busy:.0%} busy meanwhile, {results['seconds']:.0f} s: trust the ratios. Kept in {file}")
    if options.picture is None and options.scale == "full" and not options.only and os.access(PICTURE.parent, os.W_OK):
        options.picture = PICTURE
    if options.picture:
        options.picture.write_text(picture.draw(reports))


def as_json(report: Report) -> dict[str, Any]:
    found = dataclasses.asdict(report)
    found["rows"] = [
        {"peer": peer, "n": count, "median": middle, "least": least, "ratio": times}
        for peer, count, middle, least, times in report.rows()
    ]
    found["targets"] = [dataclasses.asdict(one) | {"reached": one.reached} for one in report.targets]
    return found


def show_targets(targets: list[Target]) -> None:
    print(f"\n{'aim':<66}{'found':>10}{'limit':>10}")
    for one in targets:
        bound = ("≥ " if one.at_least else "≤ ") + f"{one.limit:g}"
        print(f"{one.what:<66}{one.found:>10.3g}{bound:>10} {one.unit:<6}{one.verdict}")


def keep(results: dict[str, Any], file: Path | None) -> Path:
    """Write them; where the project's folder is not ours to write in, into the present one."""
    text = json.dumps(results, indent=1)
    if file is not None:
        file.write_text(text)
        return file
    name = time.strftime("%Y%m%d-%H%M%S.json")
    try:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / name).write_text(text)
    except PermissionError:
        Path(name).write_text(text)
        return Path(name)
    return RESULTS / name


if __name__ == "__main__":
    main()
