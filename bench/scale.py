"""How much is measured: tiny (does it work?), quick (two minutes), full (ten)."""

from dataclasses import dataclass


@dataclass
class Scale:
    rounds: int | None  # of everything, where the command line says so
    launch_rounds: int
    slow_every: int  # container engines take part in each n-th round
    rate_s: float
    rate_rounds: int
    restart_s: float
    restart_workers: int
    storm: int  # workers, against peers
    storm_rounds: int
    growth: tuple[int, ...]
    crowd: int  # idle processes
    crowd_rounds: int
    memory: int  # workers, init = false
    memory_init: int  # workers, with a PID 1 of ours
    idle: int  # workers
    idle_s: float
    cli_rounds: int
    log_lines: int
    log_rounds: int
    log_workers: int


SCALES = {
    "tiny": Scale(None, 1, 1, 0.2, 1, 2.0, 1, 2, 1, (2,), 5, 1, 2, 2, 2, 0.5, 1, 2000, 1, 2),
    "quick": Scale(None, 12, 4, 0.6, 3, 10.0, 2, 100, 1, (10, 100), 1000, 1, 100, 20, 50, 5.0, 5, 500_000, 1, 16),
    "full": Scale(
        None,
        40,
        4,
        1.0,
        5,
        25.0,
        3,
        1000,
        2,
        (10, 100, 1000, 3000),
        4000,
        3,
        1000,
        100,
        200,
        30.0,
        15,
        2_000_000,
        3,
        64,
    ),
}
