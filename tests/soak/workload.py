"""What runs in the sandboxes of a soak: `python3 -S /data/workload.py INSTANCE KIND`.

With the folder of markers at /data: INSTANCE.lock, held by this and by all that it forks; INSTANCE.starts, a line for
each process that got it; INSTANCE.START.count, how many lines were written; `doubles`, a line for each that found
another holding the lock. Only the standard library, for it runs in a sandbox.
"""

import fcntl
import os
import random
import signal
import socket
import sys
import threading
import time

DATA = "/data"
RATE = {"flood": (20, 0.01), "spill": (20, 0.05)}  # lines at a time, and the pause between


def line(start: int, number: int) -> bytes:
    """What is written, and looked for in the log; as tests/torture/workload.py has it."""
    return b"%d %d %s\n" % (start, number, b"." * (number % 40))


def begin(name: str) -> tuple[int, int]:
    """Take the lock: the number of this start, and the descriptor of its count."""
    lock = os.open(f"{DATA}/{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with open(f"{DATA}/doubles", "a", encoding="ascii") as file:
            file.write(f"{name} {time.time()}\n")
        sys.exit(99)
    with open(f"{DATA}/{name}.starts", "a+", encoding="ascii") as file:
        file.write(f"{time.time()}\n")
        file.flush()
        file.seek(0)
        start = len(file.readlines())
    return start, os.open(f"{DATA}/{name}.{start}.count", os.O_RDWR | os.O_CREAT, 0o600)


def notify(text: bytes) -> None:
    """sd_notify(3)."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    link.connect(os.environ["NOTIFY_SOCKET"])
    link.send(text)
    link.close()


def serve(sick_at: float) -> None:
    """Answer probes on port 8000; from sick_at (CLOCK_MONOTONIC) on, that all is lost."""
    server = socket.create_server(("127.0.0.1", 8000), backlog=64)
    while True:
        client, _ = server.accept()
        client.settimeout(5)
        try:
            client.recv(4096)
            status = b"200 OK" if time.monotonic() < sick_at else b"500 sick"
            client.sendall(b"HTTP/1.0 " + status + b"\r\n\r\n")
        except OSError:
            pass  # the prober left
        client.close()


def fork_children(deaf: bool) -> None:
    """A child, and an orphan in a session of its own; both hold the lock, and stay."""
    for orphan in (False, True):
        child = os.fork()
        if child == 0:
            if orphan:
                os.setsid()
                if os.fork():
                    os._exit(0)
            if deaf:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1_000_000)
            os._exit(0)
        if orphan:
            os.waitpid(child, 0)


def run(name: str, kind: str) -> None:
    """Run until ended."""
    start, count = begin(name)
    dice = random.SystemRandom()
    dies_at = time.monotonic() + dice.uniform(0.1, 4.0)
    if kind == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if kind in ("forking", "bare"):
        fork_children(deaf=kind == "forking")
    if kind in ("served", "sick"):
        sick_at = time.monotonic() + (dice.uniform(3, 30) if kind == "sick" else 1e9)
        threading.Thread(target=serve, args=(sick_at,), daemon=True).start()
    asked_at: list[float] = []
    if kind == "slow":
        signal.signal(signal.SIGTERM, lambda *_: asked_at.append(time.monotonic()))
    if kind == "notify":
        time.sleep(dice.uniform(0, 0.5))
        notify(b"READY=1\nSTATUS=up")
    at_once, pause_s = RATE.get(kind, (1, 0.02))
    number, beaten_at, eaten = 0, 0.0, []
    while True:
        for _ in range(at_once):
            number += 1
            text = line(start, number)
            if kind == "halves":
                os.write(1, text[:4])
                time.sleep(0.004)
                text = text[4:]
            os.write(1, text)
        os.pwrite(count, b"%20d" % number, 0)
        time.sleep(pause_s)
        now = time.monotonic()
        if kind == "notify" and now > beaten_at + 0.5:
            beaten_at = now
            notify(b"WATCHDOG=1")
        if kind == "hungry":
            eaten.append(b"\1" * (2 << 20))
        if kind in ("crashing", "once") and now > dies_at:
            if kind == "crashing" and dice.random() < 0.3:
                os.kill(os.getpid(), dice.choice((signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT)))
            sys.exit(0 if kind == "once" else dice.choice((1, 3, 77)))
        if asked_at and now > asked_at[0] + 1:
            sys.exit(0)


if __name__ == "__main__":
    run(*sys.argv[1:])
