"""What an operator, and bad luck, do to a fleet: each a function of the soak, with how often it is chosen."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from tests.soak.fleet import BAD
from tests.soak.place import daemon_and_keepers, kill

if TYPE_CHECKING:
    from tests.soak.soak import Soak

Operation = Callable[["Soak", random.Random], object]
SIGNALS = ("SIGKILL", "SIGTERM", "SIGSEGV", "SIGHUP", "SIGUSR1")


def start(soak: "Soak", dice: random.Random) -> None:
    name = dice.choice(soak.by_hand)
    soak.aside(lambda: soak.want(name, "start"))


def stop(soak: "Soak", dice: random.Random) -> None:
    name = dice.choice(soak.by_hand)
    soak.aside(lambda: soak.want(name, "stop"))


def restart(soak: "Soak", dice: random.Random) -> None:
    name = dice.choice(soak.by_hand)
    soak.aside(lambda: soak.want(name, "restart"))


def restart_what_others_require(soak: "Soak", dice: random.Random) -> None:
    name = dice.choice(("database", "served"))
    soak.aside(lambda: soak.post("restart", names=[name]))


def kill_one(soak: "Soak", dice: random.Random) -> None:
    name, number = dice.choice(list(soak.fleet)), dice.choice(SIGNALS)
    soak.aside(lambda: soak.post("kill", names=[name], signal=number))


def kill_many(soak: "Soak", dice: random.Random) -> None:
    names = dice.sample(list(soak.fleet), dice.randint(3, 15))
    soak.aside(lambda: [soak.post("kill", names=[name], signal="SIGKILL") for name in names])


def pause(soak: "Soak", dice: random.Random) -> None:
    name = dice.choice(list(soak.fleet))
    soak.aside(lambda: soak.post("pause", names=[name]))


def unpause(soak: "Soak", dice: random.Random) -> None:
    name = dice.choice(list(soak.fleet))
    soak.aside(lambda: soak.post("unpause", names=[name]))


def execute(soak: "Soak", dice: random.Random) -> None:
    """What it prints comes back whole, or it says that it failed."""
    name, word = dice.choice(list(soak.fleet)), f"{dice.getrandbits(64):x}"

    def ask() -> None:
        done = soak.commands.run("exec", name, "echo", word)
        if done is not None and done.returncode == 0 and done.stdout != f"{word}\n":
            soak.invariants.say(f"exec {name} echo {word}: printed {done.stdout!r}")

    soak.aside(ask)


def look(soak: "Soak", dice: random.Random) -> None:
    name, verb = dice.choice(list(soak.fleet)), dice.choice(("inspect", "explain", "stats", "ps", "plan"))
    arguments = (verb, "--json", name) if verb != "ps" else (verb, "--json")

    def ask() -> None:
        before = soak.disturbances
        if not soak.commands.json(*arguments) and before == soak.disturbances:
            soak.invariants.say(f"nsvisor {' '.join(arguments)} failed, though a daemon was there all the time")

    soak.aside(ask)


def follow(soak: "Soak", dice: random.Random) -> None:
    soak.commands.follow(dice)


def wait_for(soak: "Soak", dice: random.Random) -> None:
    name, condition = dice.choice(list(soak.fleet)), dice.choice(("ready", "exited", "healthy", "stopped"))
    soak.aside(lambda: soak.post("wait", names=[name], condition=condition, timeout_s=5))


def reload(soak: "Soak", dice: random.Random) -> None:
    step = dice.choice((1, 1, 2))

    def ask() -> None:
        with soak.configuring:
            soak.variant += step
            soak.write()
            soak.post("reload")

    soak.aside(ask)


def reload_bad(soak: "Soak", dice: random.Random) -> None:
    """Refused, and nothing is touched."""
    with soak.configuring:
        soak.write(dice.choice(BAD))
        try:
            soak.post("reload", refused=True)
        finally:
            soak.write()


def reexec(soak: "Soak", _dice: random.Random) -> None:
    def ask() -> None:
        with soak.configuring:
            soak.post("reexec")

    soak.aside(ask, disturbs=True)


def kill_daemon(soak: "Soak", _dice: random.Random) -> None:
    soak.kills["daemon"] += _kill(daemon_and_keepers(soak.place)[0])


def kill_keeper(soak: "Soak", _dice: random.Random) -> None:
    """Until another one has the state from the daemon, whoever kills that too kills both."""
    with soak.configuring:  # a re-exec would be the end of both
        known = soak.count("keeper.replaced")
        if killed := _kill(daemon_and_keepers(soak.place)[1]):
            soak.kills["keeper"] += killed
            soak.wait_for(lambda: soak.count("keeper.replaced") > known, "another keeper")


def kill_both(soak: "Soak", dice: random.Random) -> None:
    """What both held is lost: the state, and what was in the pipes."""
    daemons, keepers = daemon_and_keepers(soak.place)
    before = soak.starts()
    order = [*daemons, *keepers] if dice.random() < 0.5 else [*keepers, *daemons]
    soak.state_may_be_lost()
    if _kill(order):
        soak.kills["both"] += 1
    soak.excuse(before)


def kill_pasta(soak: "Soak", _dice: random.Random) -> None:
    soak.kills["pasta"] += _kill([one for one in soak.place.processes() if _name(one).startswith(("pasta", "passt"))])


def suspend(soak: "Soak", dice: random.Random) -> None:
    """The daemon is not run for a while."""
    for_s = dice.uniform(0.2, 3)
    for process in daemon_and_keepers(soak.place)[0]:
        with suppress(psutil.Error, OSError):
            pidfd = os.pidfd_open(process.pid)
            try:
                if process.is_running():
                    signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
                    time.sleep(for_s)
                    signal.pidfd_send_signal(pidfd, signal.SIGCONT)
            finally:
                os.close(pidfd)


def _kill(processes: list[psutil.Process]) -> int:
    return sum(kill(process) for process in processes)


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


GENTLE: dict[Operation, float] = {
    start: 8,
    stop: 6,
    restart: 5,
    restart_what_others_require: 1,
    kill_one: 6,
    kill_many: 1,
    pause: 2,
    unpause: 3,
    execute: 3,
    look: 3,
    follow: 3,
    wait_for: 2,
    reload: 3,
    reload_bad: 1,
    kill_pasta: 0.5,
}
DISTURBING: dict[Operation, float] = {reexec: 2, kill_daemon: 2, kill_keeper: 1, kill_both: 0.5, suspend: 1}
