"""What finds out whether one instance is ready and healthy: probes, lines of output, what the worker says itself."""

import random
import time
from typing import TYPE_CHECKING

import trio

from supervisor.policy.health import Health, Said, observe
from supervisor.policy.restart import BecameReady, State, Unhealthy
from supervisor.runtime.notices import Notices
from supervisor.runtime.output import STREAMS
from supervisor.runtime.probe_answer import Answer, CannotProbe
from supervisor.runtime.probe_command import probe_command
from supervisor.runtime.probe_lines import LineSearch
from supervisor.runtime.probe_network import NetworkOf, probe_http, probe_tcp
from supervisor.spec import model

if TYPE_CHECKING:
    from supervisor.runtime.instance import Instance

TCP_TIMEOUT_S, HTTP_TIMEOUT_S = 1.0, 5.0  # of one probe for readiness; a command has until ready.timeout
BUSY_SHARE = 4  # a command for readiness that took so long is tried again after four times that at the earliest
LONGEST_SEEN = 300  # characters: it is kept in the state
SPREAD = 0.05  # of the interval, at random: a thousand workers are not to be probed at one moment


class Monitor:
    """Of one instance, for one incarnation after the other. Its findings go to Instance.handle()."""

    def __init__(self, instance: "Instance") -> None:
        self.instance = instance
        self.health: Health | None = None  # None: not probed
        self.notices = Notices(self)
        self.seen: str | None = None  # by the last probe for readiness, while it is not ready
        self._task = trio.CancelScope()
        self._attempt = trio.CancelScope()
        self._running = trio.Event()  # not paused
        self._running.set()
        self._search: LineSearch | None = None
        self._beat_at = 0.0  # Trio's clock: when WATCHDOG=1 was said
        self._complaint = ""  # told already

    # -- the incarnation --------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A new incarnation is launched, or the old one has ended: what was known is void."""
        self._task.cancel()
        self._stop_search()
        self.health, self.notices.said, self.seen = None, Said(), None
        self._complaint = ""
        self.resumed()

    def restore(self, health: Health | None, said: Said | None) -> None:
        """What an earlier daemon knew."""
        self.health, self.notices.said = health, said or Said()

    def probe(self, number: int) -> None:
        """Find out when it is ready."""
        self._task.cancel()
        self._stop_search()
        ready, output = self.instance.worker.ready, self.instance.output
        if ready.kind == "log" and ready.pattern is not None:
            self.seen = "no line of output matched"
            self._search = LineSearch(ready.pattern, lambda _: self.become_ready(number), self._give_up_search)
            output.observer = self._search.feed  # before the first line is read
            for stream in STREAMS:  # whose beginning an earlier daemon may have read
                self._search.feed(stream, output.unfinished(stream))
        elif ready.kind == "notify":
            self.seen = "no READY=1 was received"
        elif ready.kind == "started":  # by a reload; else nobody asks
            self.become_ready(number)
        else:
            self._start(number, ready)

    def watch(self) -> None:
        """It is ready: see that it stays well. Harmless when repeated."""
        self._task.cancel()
        self._stop_search()
        self.seen = None
        health = self.instance.worker.health
        if health.kind == "none":
            self.health = None
            return
        self.health = self.health or Health(time.monotonic())
        self._start(self.instance.status.incarnation, health)

    def follow_reload(self) -> None:
        """What is probed, or how, may be another now."""
        state = self.instance.status.state
        if state is State.RUNNING:
            self.probe(self.instance.status.incarnation)
        elif state is State.READY:
            self.watch()

    def paused(self) -> None:
        """Nothing can be learnt of a frozen worker: what was asked just now does not count."""
        if self._running.is_set():
            self._running = trio.Event()
            self._attempt.cancel()

    def leave_alone(self) -> None:
        """It is leaving: there is nothing left to be healthy."""
        self._task.cancel()

    def resumed(self) -> None:
        """It goes on; its watchdog begins anew."""
        self._beat_at = trio.current_time()
        self._running.set()

    # -- probes -----------------------------------------------------------------------------------------------------

    def _start(self, number: int, table: "model.Ready | model.Health") -> None:
        self._task = trio.CancelScope()
        nursery = self.instance.services.nursery
        if isinstance(table, model.Health) and table.kind == "notify":
            nursery.start_soon(self._watchdog, number, table, self._task)
        else:
            nursery.start_soon(self._ask_on, number, table, self._task)

    async def _ask_on(self, number: int, table: "model.Ready | model.Health", scope: trio.CancelScope) -> None:
        pid = self.instance.pid
        if pid is None:
            return
        begun, failures = trio.current_time(), 0
        with scope, NetworkOf(pid) as network:
            while True:
                await self._running.wait()
                before = trio.current_time()
                answer = await self._ask(table, network)
                took_s = trio.current_time() - before
                if answer is not None and isinstance(table, model.Health):
                    self._observe(number, answer, retries=table.retries)
                elif answer is not None and answer.ok:
                    self.become_ready(number)
                    return
                elif answer is not None:
                    self.seen = answer.seen
                    failures += int(before - begun >= table.start_period_s)
                    if table.retries is not None and failures >= table.retries:
                        self.instance.handle(Unhealthy(number, f"not ready: {answer.seen}"))
                        return
                spread = 1 + random.uniform(-SPREAD, SPREAD)  # noqa: S311
                busy = table.kind == "command" and isinstance(table, model.Ready)
                await trio.sleep(max(table.interval_s * spread, BUSY_SHARE * took_s * busy))

    async def _ask(self, table: "model.Ready | model.Health", network: NetworkOf) -> Answer | None:
        """One probe's answer; None where it is not one of the worker's."""
        if isinstance(table, model.Health):
            timeout_s = table.timeout_s
        else:
            timeout_s = {"tcp": TCP_TIMEOUT_S, "http": HTTP_TIMEOUT_S}.get(table.kind, table.timeout_s)
        done, before = False, trio.current_time()
        with trio.move_on_after(timeout_s) as self._attempt:
            try:
                answer = await self._probe(table, network)
                done = True
            except CannotProbe as error:
                self.complain(str(error))
                return None
        if not self._running.is_set() or (not done and trio.current_time() < before + timeout_s):
            return None  # paused meanwhile
        if not done:
            what = table.command[0] if table.command else table.url or table.address
            answer = Answer(ok=False, seen=f"{what}: no answer within {timeout_s:g} s")
        self._complaint = ""
        return Answer(answer.ok, answer.seen[:LONGEST_SEEN])

    async def _probe(self, table: "model.Ready | model.Health", network: NetworkOf) -> Answer:
        if table.kind == "tcp" and table.address is not None:
            return await probe_tcp(network, table.address)
        if table.kind == "http" and table.url is not None:
            return await probe_http(network, table.url, table.status)
        return await probe_command(self.instance, table.command)

    def complain(self, why: str) -> None:
        """Say why nothing was learnt, once."""
        if why != self._complaint:
            self._complaint = why
            self.publish("worker.probe_failed", "warning", error=why)

    def _observe(self, number: int, answer: Answer, retries: int) -> None:
        instance, table = self.instance, self.instance.worker.health
        if self.health is None or instance.status.state is not State.READY or instance.status.incarnation != number:
            return
        self.health, news = observe(
            self.health,
            ok=answer.ok,
            seen=answer.seen,
            now=time.monotonic(),
            retries=retries,
            start_period_s=table.start_period_s,
        )
        if news is None:
            return
        if news == "unhealthy":
            failures = self.health.failures
            self.publish(
                "worker.unhealthy", "error", kind=table.kind, seen=answer.seen, failures=failures, then=table.on_failure
            )
        else:
            self.publish("worker.healthy", "info", kind=table.kind, seen=answer.seen)
        instance.save()
        instance.tell()
        if news == "unhealthy" and table.on_failure == "restart":
            instance.handle(Unhealthy(number, answer.seen))

    def become_ready(self, number: int) -> None:
        """It is, whoever found out."""
        if self.instance.status.state is State.RUNNING:
            self.instance.handle(BecameReady(number))

    def _give_up_search(self) -> None:
        self.complain("ready.pattern takes too long on what it writes; no more lines are searched")

    def _stop_search(self) -> None:
        if self._search is not None:
            self._search.stop()
            self._search = self.instance.output.observer = None

    # -- the watchdog -----------------------------------------------------------------------------------------------

    def beat(self, number: int, answer: Answer) -> None:
        """WATCHDOG=1, or what stands for its absence."""
        if answer.ok:
            self._beat_at = trio.current_time()
        if self.instance.worker.health.kind == "notify":
            self._observe(number, answer, retries=1)

    async def _watchdog(self, number: int, table: "model.Health", scope: trio.CancelScope) -> None:
        self._beat_at = trio.current_time()
        with scope:
            while True:
                period_s = self.notices.said.watchdog_s or table.timeout_s
                await trio.sleep_until(self._beat_at + period_s)
                await self._running.wait()
                if trio.current_time() >= self._beat_at + (self.notices.said.watchdog_s or table.timeout_s):
                    self._beat_at = trio.current_time()
                    self.beat(number, Answer(ok=False, seen=f"no WATCHDOG=1 for {period_s:g} s"))

    def publish(self, event: str, level: str, **fields: object) -> None:
        """An event of the present incarnation."""
        instance = self.instance
        instance.services.bus.publish(
            event,
            level,
            worker=instance.worker.name,
            instance=instance.name,
            incarnation=instance.status.incarnation,
            **fields,
        )
