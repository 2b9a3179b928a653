"""A cgroup's files as figures."""

from pathlib import Path

from supervisor.spec.records import CgroupUsage
from supervisor.telemetry.cgroup_usage import read_usage

FILES = {
    "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nnr_periods 9\nthrottled_usec 250000\n",
    "memory.current": "4096\n",
    "memory.peak": "8192\n",
    "memory.max": "max\n",
    "pids.current": "3\n",
    "pids.max": "20\n",
    "io.stat": "8:0 rbytes=100 wbytes=7 rios=1\n8:16 rbytes=11 wbytes=0 rios=1\n",
    "memory.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.50 avg60=0.00 total=1\n",
    "cpu.pressure": "some avg10=12.00 avg60=0.00 avg300=0.00 total=7\n",
}


def test_every_figure(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    assert read_usage(str(tmp_path)) == CgroupUsage(
        cpu_s=1.5,
        throttled_s=0.25,
        memory_bytes=4096,
        memory_peak_bytes=8192,
        memory_max_bytes=None,
        pids=3,
        pids_max=20,
        io_read_bytes=111,
        io_written_bytes=7,
        pressure={"cpu": 12.0, "memory": 1.5},
    )


def test_controllers_that_are_not_there_and_a_cgroup_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("usage_usec 10\n")
    assert read_usage(str(tmp_path)) == CgroupUsage(cpu_s=0.00001)
    assert read_usage(str(tmp_path / "gone")) == CgroupUsage()
