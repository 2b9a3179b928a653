"""Measure, print, and keep the figures in bench/results/. See README.md for what they mean."""

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from fleet import at_rest
from launch import compare
from logs import compare as compare_logs
from workload import Workload, busy_share

RESULTS = Path(__file__).resolve().parent / "results"
IDLE_LIMIT_PERCENT = 0.1
LOG_WORKERS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--idle-s", type=float, default=30)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["launch", "fleet", "logs"])
    options = parser.parse_args()

    _, mark = busy_share()
    results: dict[str, Any] = {"time": time.time(), "kernel": platform.release(), "cpus": os.cpu_count()}
    results["user"] = "root" if os.geteuid() == 0 else "ordinary"
    top = Path(tempfile.mkdtemp(prefix="nsvisor-bench-"))
    try:
        workload = Workload(top)
        if options.only in (None, "launch"):
            if shutil.which("bwrap") is None:
                raise SystemExit("cannot compare without bubblewrap: apt-get install bubblewrap")
            for own_network in (False, True):
                key = "launch_own_network" if own_network else "launch"
                results[key] = compare(top, workload, options.pairs, own_network=own_network)
                print_launch(results[key], own_network=own_network)
        if options.only in (None, "fleet"):
            results["fleet"] = at_rest(top, workload, options.workers, options.idle_s)
            print_fleet(results["fleet"])
        if options.only in (None, "logs"):
            results["logs"] = compare_logs(top, workload, options.lines, options.rounds, LOG_WORKERS)
            print_logs(results["logs"])
    finally:
        shutil.rmtree(top)
    results["machine_busy"], _ = busy_share(mark)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / time.strftime("%Y%m%d-%H%M%S.json")
    file.write_text(json.dumps(results, indent=1))
    print(f"\nmachine {results['machine_busy']:.0%} busy meanwhile: trust the ratios. Kept in {file}")


def print_launch(found: dict[str, Any], *, own_network: bool) -> None:
    spaces = "user+pid+mount+uts+ipc" + ("+network" if own_network else "")
    print(f"\nrequest to first instruction, {spaces}, /dev, /proc, pivoted root; median of {found['pairs']} pairs")
    print(f"  {'bwrap':<44}{found['bwrap_ms']:8.2f} ms")
    print(f"  {'nsvisor, request on the control socket':<44}{found['api_ms']:8.2f} ms  x {found['api_ratio']:.2f}")
    inner = "nsvisor, from the launcher's request on"
    print(f"  {inner:<44}{found['launcher_ms']:8.2f} ms  x {found['launcher_ratio']:.2f}")


def print_fleet(found: dict[str, Any]) -> None:
    cpu, pss = found["cpu_percent"], found["pss_bytes"]
    print(f"\n{found['workers']} workers with init = false, all ready after {found['all_ready_after_s']:.2f} s")
    print(f"  {'CPU at rest, ' + format(found['seconds'], '.0f') + ' s':<30}", end="")
    print(f"daemon {cpu['daemon']:.3f} %, keeper {cpu['keeper']:.3f} %", verdict(sum(cpu.values()), IDLE_LIMIT_PERCENT))
    total, limit = sum(pss.values()) / 1e6, found["pss_limit_bytes"] / 1e6
    print(
        f"  {'PSS':<30}daemon {pss['daemon'] / 1e6:.1f} MB, keeper {pss['keeper'] / 1e6:.1f} MB", verdict(total, limit)
    )


def print_logs(found: dict[str, Any]) -> None:
    print(f"\n{found['lines']} lines of 100 bytes, 40 with each write; medians of {found['rounds']} rounds")
    print(f"  {'':<24}{'MB/s':>8}{'CPU s/GB':>10}   nsvisor's speed and CPU against it")
    for name, one in found["capturers"].items():
        faults = ", ".join(f"{count} {what}" for what, count in one["faults"].items() if count) or "every line there"
        ratios = f"x {one['speed_ratio']:.2f}  x {one['cpu_ratio']:.2f}"
        print(f"  {name:<24}{one['mb_s']:8.0f}{one['cpu_s_gb']:10.2f}   {ratios}  {faults}")


def verdict(found: float, limit: float) -> str:
    return f"-> {found:.3g} of {limit:.3g} allowed: {'kept' if found <= limit else 'EXCEEDED'}"


if __name__ == "__main__":
    main()
