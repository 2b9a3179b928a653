"""What runs in the sandboxes: holds its instance's lock, and writes numbered lines until it is ended.

`python3 -c … INSTANCE KIND`, with the folder of markers at /data: INSTANCE.lock, held for as long as this lives;
INSTANCE.starts, a line for each process that got it; INSTANCE.START.count, how many lines were written; `doubles`, a
line for each that found another holding the lock. Only the standard library, for it runs in a sandbox.
"""

import fcntl
import os
import signal
import sys
import time

DATA = "/data"


def line(start: int, number: int) -> bytes:
    """What is written, and looked for in the log."""
    return b"%d %d %s\n" % (start, number, b"." * (number % 40))


def main() -> None:
    """Run until ended."""
    name, kind = sys.argv[1:]
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
    count = os.open(f"{DATA}/{name}.{start}.count", os.O_RDWR | os.O_CREAT, 0o600)
    if kind == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    number = 0
    while not (kind == "crashy" and number == 20):
        for _ in range(20 if kind == "flood" else 1):
            number += 1
            text = line(start, number)
            if kind == "halves":
                os.write(1, text[:4])
                time.sleep(0.004)
                text = text[4:]
            os.write(1, text)
        os.pwrite(count, b"%20d" % number, 0)
        time.sleep(0.01)
    sys.exit(3)


if __name__ == "__main__":
    main()
