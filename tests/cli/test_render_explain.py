import pytest
from msgspec.structs import replace

from supervisor.cli.render_explain import render, render_remembered
from supervisor.cli.render_verdict import policy_said, why
from supervisor.cli.render_waterfall import BAR_CELLS, bar, waterfall
from supervisor.control.models import InstanceDetail, InstanceView
from supervisor.spec.model import Log, Restart, Worker
from supervisor.spec.records import ExitRecord, LaunchRecord, PhaseRecord, Remembered, Rusage, Usual

WORKER = Worker(name="web", command=("/bin/web",), requires=("db",))
UP = InstanceView(
    name="web", worker="web", state="ready", ready=True, wanted=True, pid=42, incarnation=1, uptime_s=3661
)
CLONE = PhaseRecord("clone", "user pid", "ok", 0, 1000)
BIND = PhaseRecord(
    "mount.bind", "/srv", "failed", 1000, 1000, "ENOENT", "open_tree", "no such path", "It is absent. Try: ls -ld /srv"
)
FAILED = LaunchRecord("web", 3, 1000.0, 2000, "failed", (CLONE, BIND))


def clock(instant: float) -> str:
    return f"@{instant:g}"


def detail(view: InstanceView, **fields: object) -> InstanceDetail:
    return replace(InstanceDetail(view, WORKER), **fields)


def exited(cause: str, **fields: object) -> ExitRecord:
    return replace(ExitRecord(1, "exit", 1000.0, 2.5), cause=cause, **fields)


@pytest.mark.parametrize(
    ("view", "sentence"),
    [
        (UP, "web runs since 1h1m as pid 42 and is ready."),
        (replace(UP, restarts=1), "web runs since 1h1m as pid 42 and is ready; its policy has restarted it 1 time."),
        (
            replace(UP, state="running", deadline_in_s=4.0),
            "web runs since 1h1m as pid 42 and is not ready yet: started is awaited, for 4.0s more at most.",
        ),
        (replace(UP, state="creating", in_state_s=0.25), "web's sandbox is being built since 250ms."),
        (replace(UP, state="waiting"), "web waits for db-0 (creating)."),
        (
            replace(UP, state="backoff", next_start_in_s=7.25, last_exit=exited("exit", code=3)),
            "web is down and will be started again in 7.2s: it exited with code 3 after 2.5s.",
        ),
        (
            replace(UP, state="stopping", stopped_by="operator", deadline_in_s=9.0),
            "web was asked to leave by operator and has not left yet, for 9.0s more at most.",
        ),
        (
            replace(UP, state="stopped", stopped_by="operator"),
            "web is down because it was stopped by operator: `nsvisor start web`.",
        ),
        (replace(UP, state="stopped"), "web was never started: `nsvisor start web`."),
        (
            replace(UP, state="completed", last_exit=exited("exit", code=0)),
            "web has done its work: it exited with code 0 after 2.5s. Its policy (on-failure) ends there.",
        ),
        (
            replace(UP, state="failed", last_exit=exited("signal", signal="SIGSEGV", core_dumped=True)),
            (
                "web is given up: it was killed by SIGSEGV after 2.5s and left a core dump. "
                "Its policy (on-failure) does not restart after this. `nsvisor start web` tries again."
            ),
        ),
        (
            replace(UP, state="unkillable"),
            (
                "web (pid 42) was killed and does not die: a process of it hangs in the kernel. "
                "No second copy is started while it is there."
            ),
        ),
    ],
)
def test_one_sentence_for_each_state(view: InstanceView, sentence: str) -> None:
    assert why(detail(view), {"web": view.state, "db-0": "creating", "db-1": "ready", "other": "stopped"}) == sentence


@pytest.mark.parametrize(
    ("record", "clause"),
    [
        (exited("setup", phase="mount.bind", errno="ENOENT"), "mount.bind failed with ENOENT"),
        (exited("setup-timeout", phase="mount.proc"), "its sandbox was not built in time: mount.proc hung"),
        (exited("interrupted"), "its daemon died while the sandbox was built"),
        (exited("unknown"), "how it ended is unknown, since its keeper was gone"),
    ],
)
def test_exits_that_are_no_exits(record: ExitRecord, clause: str) -> None:
    view = replace(UP, state="backoff", next_start_in_s=1.0, last_exit=record)
    assert clause in why(detail(view), {})


def test_policy_says_what_it_decided() -> None:
    assert policy_said(detail(UP)) is None
    view = replace(
        UP, state="backoff", next_start_in_s=30.0, failures=6, crash_loop=True, last_exit=exited("exit", code=1)
    )
    limited = replace(WORKER, restart=Restart(policy="always", max_restarts=9, window_s=60.0))
    assert policy_said(detail(view, spec=limited)) == (
        "policy always, 6 failures since the last stable run, crash loop, at most 9 restarts in 1m0s: next start in 30s"
    )
    asked = replace(UP, state="stopped", last_exit=exited("signal", signal="SIGTERM", requested_by="operator"))
    assert policy_said(detail(asked)) == "policy on-failure, the exit was asked for by operator: not started again"


def test_waterfall_of_a_failure() -> None:
    assert waterfall(FAILED, clock) == [
        "Last launch: web#3, @1000, failed after 2.0ms",
        "  clone         1.0ms  ████████████              user pid",
        "  mount.bind    1.0ms              ████████████  /srv  FAILED",
        "",
        "Failed in mount.bind: open_tree: ENOENT (/srv): no such path",
        "  It is absent.",
        "  try: ls -ld /srv",
    ]


def test_waterfall_beside_what_is_usual() -> None:
    slow = PhaseRecord("mount.bind", "/srv", "ok", 1000, 9000)
    launch = LaunchRecord("web", 4, 5.0, 10_000, "ok", (CLONE, slow, PhaseRecord("exec", "", "ok", 10_000, 0)))
    lines = waterfall(launch, clock, Usual(10, 2000, (900, 1000)))
    assert lines == [
        "Last launch: web#4, @5, done in 10.0ms; usually 2.0ms (median of 10)",
        "                 took  usually",
        "  clone         1.0ms    900us  ██▍                       user pid",
        "  mount.bind    9.0ms    1.0ms    ██████████████████████  /srv",
        "  exec            0us                                  ▏",
        "",
        "Slower than usual:",
        "  mount.bind (/srv): 9.0ms instead of 1.0ms",
    ]
    coloured = waterfall(launch, clock, Usual(10, 2000, (900, 1000)), colours=True)
    assert [line.startswith("\x1b[33m") for line in coloured] == [number == 3 for number in range(len(lines))]


@pytest.mark.parametrize(
    ("took_us", "median_us", "is_told"),
    [(1501, 750, True), (1500, 750, False), (499, 1, False), (501, 1, True), (10_000, 9_000, False)],
)
def test_only_what_is_much_slower_is_told(took_us: int, median_us: int, is_told: bool) -> None:
    launch = LaunchRecord("web", 1, 5.0, took_us, "ok", (PhaseRecord("clone", "", "ok", 0, took_us),))
    assert ("Slower than usual:" in waterfall(launch, clock, Usual(1, median_us, (median_us,)))) == is_told


def test_without_a_daemon() -> None:
    killed = ExitRecord(3, "signal", 900.0, 60.0, signal="SIGSYS", syscall="kexec_load", hint="Not allowed. Try: see")
    done = LaunchRecord("web", 3, 5.0, 1000, "ok", (CLONE,))
    kept = Remembered(launches=(done,), exits=(replace(killed, incarnation=2), killed))
    page = render_remembered("web", kept, None, ["@901  web is given up"], "/var/log/web.log", clock, exits=1)
    assert page[0] == (
        "No daemon answers. web, as its files tell: it was killed by SIGSYS for the system call kexec_load after 1m0s."
    )
    assert page[page.index("Last exits:") :] == [
        "Last exits:",
        "  #3  @900  was killed by SIGSYS for the system call kexec_load after 1m0s",
        "",
        "About #3:",
        "  Not allowed.",
        "  try: see",
        "",
        "Last records of the daemon:",
        "  @901  web is given up",
        "",
        "Output: nsvisor logs web   (/var/log/web.log)",
        "With what the daemon did: nsvisor logs --all web",
    ]


@pytest.mark.parametrize(
    ("kept", "sentence"),
    [
        (
            Remembered(launches=(LaunchRecord("web", 4, 5.0, 9, "ok"),), exits=(exited("exit", code=0),)),
            "it was launched as #4, and no exit of that is on record",
        ),
        (Remembered(launches=(FAILED,)), "the launch of #3 is the last that is known"),
        (Remembered(), "it was never launched"),
    ],
)
def test_what_the_files_cannot_tell_is_said(kept: Remembered, sentence: str) -> None:
    (head, *_) = render_remembered("web", kept, None, [], None, clock)
    assert head == f"No daemon answers. web, as its files tell: {sentence}."


def test_waterfall_of_a_success_ends_with_the_phases() -> None:
    lines = waterfall(LaunchRecord("web", 1, 5.0, 1000, "ok", (CLONE,)), clock)
    assert lines == ["Last launch: web#1, @5, done in 1.0ms", f"  clone    1.0ms  {'█' * BAR_CELLS}  user pid"]


def test_phase_that_hangs_is_named() -> None:
    hung = PhaseRecord("mount.proc", "", "pending", 1000, 29_999_000)
    lines = waterfall(LaunchRecord("web", 2, 5.0, 30_000_000, "timeout", (CLONE, hung)), clock)
    assert lines[0].endswith("timed out after 30.00s")
    assert lines[2].endswith("not finished")
    assert lines[-1] == "Stopped in mount.proc"


def test_skipped_phase_has_no_bar_and_no_phase_is_said() -> None:
    skipped = PhaseRecord("ns.cgroup", "no cgroup namespace", "skipped", 1000, 0)
    lines = waterfall(LaunchRecord("web", 1, 5.0, 1000, "ok", (CLONE, skipped)), clock)
    assert lines[-1] == f"  ns.cgroup      0us  {' ' * BAR_CELLS}  no cgroup namespace  skipped"
    assert waterfall(LaunchRecord("web", 1, 5.0, 0, "interrupted"), clock)[1] == "  no phase was begun"


@pytest.mark.parametrize(
    ("start_us", "duration_us", "total_us"), [(0, 0, 1), (0, 100, 100), (99, 1, 100), (100, 50, 100), (33, 33, 100)]
)
def test_bars_keep_their_width_and_are_never_empty(start_us: int, duration_us: int, total_us: int) -> None:
    drawn = bar(start_us, duration_us, total_us)
    assert len(drawn) == BAR_CELLS
    assert drawn.strip()


def test_bar_lies_where_the_phase_was() -> None:
    assert bar(0, 50, 100, 8) == "████    "
    assert bar(50, 50, 100, 8) == "    ████"
    assert bar(50, 1, 100, 8) == "    ▏   "


def test_whole_page() -> None:
    first = ExitRecord(1, "signal", 900.0, 60.0, signal="SIGTERM", requested_by="operator", clean=True)
    last = ExitRecord(2, "exit", 1000.0, 0.5, code=1, rusage=Rusage(1.0, 0.25, 2**20), stderr_tail=("a", "b"))
    view = replace(UP, state="backoff", next_start_in_s=2.0, last_exit=last, log_path="/var/log/web.log")
    page = render(detail(view, launches=(FAILED,), exits=(first, last)), {}, clock)
    after = page[page.index("Last exits:") :]
    assert after == [
        "Last exits:",
        "  #1  @900  was killed by SIGTERM after 1m0s, asked for by operator, clean",
        "  #2  @1000  exited with code 1 after 500ms (CPU 1.25s, at most 1.0M resident)",
        "",
        "Last lines of stderr of #2:",
        "  | a",
        "  | b",
        "",
        "Restart: policy on-failure: next start in 2.0s",
        "",
        "Output: nsvisor logs web   (/var/log/web.log)",
        "With what the daemon did: nsvisor logs --all web",
    ]
    assert not any("\x1b" in line for line in page)


def test_colours_mark_what_failed() -> None:
    page = render(detail(UP, launches=(FAILED,)), {}, clock, colours=True)
    assert [line for line in page if line.startswith("\x1b[31m")] == [
        "\x1b[31m  mount.bind    1.0ms              ████████████  /srv  FAILED\x1b[0m",
        "\x1b[31mFailed in mount.bind: open_tree: ENOENT (/srv): no such path\x1b[0m",
    ]


def test_output_in_the_journal() -> None:
    journald = replace(WORKER, log=Log(sink="journald"))
    last = render(detail(UP, spec=journald), {}, clock)[-1]
    assert last.startswith("Output: journalctl ")
    assert last.endswith(" NSVISOR_INSTANCE=web")


def test_a_launch_that_was_stopped_on_purpose_is_no_fault() -> None:
    killed = replace(BIND, errno="SIGKILL", hint="The process was killed from outside.")
    launch = replace(FAILED, phases=(CLONE, killed))
    asked = exited("setup", incarnation=3, phase="mount.bind", errno="SIGKILL", requested_by="requires:db")
    found = detail(replace(UP, state="waiting"), launches=(launch,), exits=(asked,))
    text = "\n".join(render(found, {}, clock))
    assert "Stopped in mount.bind, asked for by requires:db" in text
    assert "was stopped while its sandbox was built, in mount.bind, asked for by requires:db" in text
    assert "killed from outside" not in text
    text = "\n".join(render(replace(found, exits=(replace(asked, requested_by=None),)), {}, clock))
    assert "Failed in mount.bind: open_tree: SIGKILL" in text
    assert "killed from outside" in text
