"""Overlays, as the root and as a mount: what is written goes where it should, and an upper directory has one user."""

import os
import signal
import stat
from pathlib import Path
from typing import Any

import pytest

from supervisor.spec.model import Mount, Namespaces, Rootfs, Worker
from tests.nsinit.keepers import Keeper, close_all, running_keeper
from tests.nsinit.people import Who
from tests.nsinit.roots import Folder
from tests.nsinit.sandboxes import Refused, launched, output_of, run, worker
from tests.nsinit.test_root import failed

ODD = "odd:name, with=a\\back slash"  # each of these ends an option or needs an escape in mount(8)'s words


class Layers:
    """A root with a busybox, something over it, and an upper directory."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.base = str(folder.busybox("base"))
        self.over = str(folder.directory(ODD))
        folder.file(f"{ODD}/over", "over\n")
        folder.file("base/file", "base\n")
        self.upper = folder.directory("upper")

    def root(self, **keys: Any) -> Rootfs:
        return Rootfs("overlay", lower=(self.over, self.base), **keys)

    def kept(self) -> Rootfs:
        return self.root(upper=str(self.upper))

    def mount(self, target: str = "/merged", **keys: Any) -> Mount:
        return Mount("overlay", target, lower=(self.over, self.base), **keys)


@pytest.fixture
def layers(folder: Folder) -> Layers:
    return Layers(folder)


WRITE = "cat /over /file && echo changed > /file && echo new > /new && cat /file /new && ls -d /*"


def test_what_is_written_over_the_root_is_thrown_away(keeper: Keeper, layers: Layers) -> None:
    for _ in range(2):
        said = output_of(keeper, worker(WRITE, rootfs=layers.root())).split()
        assert said == ["over", "base", "changed", "new", "/bin", "/dev", "/file", "/new", "/over", "/proc"]
    assert sorted(os.listdir(layers.folder.top)) == sorted(["base", ODD, "upper"])
    assert sorted(os.listdir(layers.base)) == ["bin", "file"]


def test_what_is_written_over_the_root_is_kept(keeper: Keeper, layers: Layers) -> None:
    assert run(keeper, worker(WRITE, rootfs=layers.kept())).code == 0
    assert (layers.upper / "new").read_text() == "new\n"
    assert Path(layers.base, "file").read_text() == "base\n"
    again = worker("cat /file; rm /new /over; mkdir /dir; ls /", rootfs=layers.kept())
    assert "changed" in run(keeper, again).out
    left = output_of(keeper, worker("ls /", rootfs=layers.kept())).split()
    assert "dir" in left
    assert not {"new", "over"} & set(left)


def test_the_root_s_mount_gives_no_rights(keeper: Keeper, layers: Layers) -> None:
    lines = output_of(keeper, worker("cat /proc/self/mountinfo", rootfs=layers.kept())).splitlines()
    root = next(line.split() for line in lines if line.split()[4] == "/")
    assert {"rw", "nosuid", "nodev"} <= set(root[5].split(","))
    assert str(layers.folder.top) not in "\n".join(lines).replace("\\040", " ")


def test_a_size_bounds_what_is_written(keeper: Keeper, layers: Layers) -> None:
    script = "head -c 300000 /dev/zero > /big; stat -c %s /big"
    assert int(run(keeper, worker(script, rootfs=layers.root(size_bytes=65536))).out) == 65536


def test_more_layers_than_one_option_holds(keeper: Keeper, layers: Layers) -> None:
    many = []
    for number in range(40):
        many.append(str(layers.folder.directory(f"layer{number}")))
        layers.folder.file(f"layer{number}/file{number}")
    rootfs = Rootfs("overlay", lower=(*many, layers.base))
    ran = run(keeper, worker("ls -d /file* | grep -c file", rootfs=rootfs))
    if tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 5):
        assert ran.out == "41\n"
    else:
        assert ran.failure is not None
        assert "41 lower directories: so many need Linux 6.5" in ran.failure.text


def test_overlays_as_mounts(keeper: Keeper, layers: Layers) -> None:
    mounts = (
        layers.mount("/tmp/kept", upper=str(layers.upper)),
        layers.mount("/tmp/gone", options=("noexec",)),
        layers.mount("/tmp/read-only", options=("ro",)),
    )
    script = """
    export LC_ALL=C
    for at in kept gone read-only; do cat /tmp/$at/over /tmp/$at/file; echo x > /tmp/$at/new; done
    /tmp/gone/bin/busybox true
    """
    ran = run(keeper, worker(script, mounts=mounts))
    assert ran.failure is None
    assert ran.out.split() == ["over", "base"] * 3
    assert (ran.err.count("Read-only file system"), ran.err.count("Permission denied")) == (1, 1)
    assert os.listdir(layers.upper) == ["new"]


def test_the_top_of_what_is_thrown_away_is_as_the_lower_one_s(keeper: Keeper, folder: Folder) -> None:
    lower = str(folder.directory("open", 0o1777))
    mounts = (Mount("overlay", "/tmp/s", lower=(lower,)),)
    assert output_of(keeper, worker("stat -c %a /tmp/s; touch /tmp/s/x", mounts=mounts)) == "1777"


def held(layers: Layers, **keys: Any) -> Worker:
    """A worker that has the upper directory until it is ended."""
    return worker(["/bin/sh", "-c", "echo up; sleep 1000"], rootfs=layers.kept(), **keys)


@pytest.mark.parametrize("init", [True, False])
def test_an_upper_has_one_user_and_the_next_when_that_has_ended(keeper: Keeper, layers: Layers, init: bool) -> None:
    alias = layers.folder.top / "alias"
    alias.symlink_to(layers.upper)
    same_work = layers.root(upper=str(layers.folder.directory("other")), work=f"{layers.upper}.work")
    mount = layers.mount(upper=str(alias))
    with launched(keeper, held(layers, init=init)) as first:
        first.go()
        first.until_end()
        assert first.line() == "up"
        for rootfs in (layers.kept(), same_work):
            assert failed(run(keeper, worker("true", rootfs=rootfs))) == ("rootfs.prepare", "EAGAIN", "flock")
        ran = run(keeper, worker("true", rootfs=layers.root(), mounts=(mount,)))
        assert failed(ran) == ("mount.overlay", "EAGAIN", "flock")
        first.signal(signal.SIGKILL)
        first.wait()
        assert run(keeper, worker("true", rootfs=layers.kept())).failure is None


def test_a_set_up_that_fails_after_the_lock_lets_go_of_it(keeper: Keeper, layers: Layers) -> None:
    lost = worker("true", rootfs=layers.kept(), mounts=(Mount("bind", "/x", "/nowhere/at/all"),))
    assert failed(run(keeper, lost))[0] == "mount.bind"
    assert run(keeper, worker("true", rootfs=layers.kept())).failure is None


def test_another_keeper_finds_it_locked_too(who: Who, keeper: Keeper, layers: Layers) -> None:
    with launched(keeper, held(layers)) as first, running_keeper(who) as other:
        first.go()
        first.until_end()
        assert first.line() == "up"
        assert failed(run(other, worker("true", rootfs=layers.kept()))) == ("rootfs.prepare", "EAGAIN", "flock")


def test_a_lock_that_nobody_can_hold_ends_the_sandbox(keeper: Keeper, layers: Layers) -> None:
    """The keeper had no room for its descriptor."""
    with launched(keeper, held(layers)) as sandbox:
        sandbox.go()
        (_, what, _), fds = sandbox.until_need()
        assert what == "hold"
        close_all(fds)
        keeper.send("hold", sandbox.name)
        assert os.WTERMSIG(sandbox.wait()[0]) == signal.SIGKILL


def test_an_answer_about_a_worker_that_has_ended_is_let_go(keeper: Keeper, layers: Layers) -> None:
    with launched(keeper, held(layers)) as sandbox:
        sandbox.go()
        _, fds = sandbox.until_need()
        sandbox.signal(signal.SIGKILL)
        sandbox.wait()
        keeper.send("hold", sandbox.name, fds=fds)
        close_all(fds)
    assert run(keeper, worker("true", rootfs=layers.kept())).failure is None


def layered(folder: Folder, **keys: Any) -> Worker:
    return worker("true", rootfs=Rootfs("overlay", **{"lower": (str(folder.top / "base"),), **keys}))


@pytest.mark.parametrize(
    ("keys", "expected", "said"),
    [
        ({"lower": ("missing",)}, ("ENOENT", "openat"), "missing"),
        ({"lower": ("file",)}, ("ENOTDIR", "openat"), "file"),
        ({"upper": "missing"}, ("ENOENT", "openat"), "missing"),
        ({"upper": "upper", "work": "base/file"}, ("ENOTDIR", "openat"), "base/file"),
        ({"upper": "upper", "work": "/dev/shm"}, ("EINVAL", "fsconfig"), "not in one mount of one file system"),
        ({"lower": ("base", "base/bin")}, ("ELOOP", "fsconfig"), ""),
        ({"lower": ("base/bin",), "upper": "base"}, ("ELOOP", "fsconfig"), ""),
    ],
)
def test_overlays_that_fail(
    keeper: Keeper, layers: Layers, keys: dict[str, Any], expected: tuple[str, str], said: str
) -> None:
    layers.folder.file("file")

    def place(value: Any) -> Any:
        return tuple(map(place, value)) if isinstance(value, tuple) else str(layers.folder.top / value)

    ran = run(keeper, layered(layers.folder, **{key: place(value) for key, value in keys.items()}))
    assert failed(ran) == ("rootfs.prepare", *expected)
    assert ran.failure is not None
    assert said in ran.failure.text


def test_an_overlay_cannot_take_another_one_s_writes(who: Who, layers: Layers) -> None:
    top = layers.folder.top
    for name in ("merged", "up", "wk"):
        layers.folder.directory(name)
    options = f"userxattr,lowerdir={top}/base,upperdir={top}/up,workdir={top}/wk"
    script = f'mount -t overlay none -o {options} {top}/merged && mkdir {top}/merged/inner && exec "$@"'
    with running_keeper(who, wrapper=["unshare", "-Urm", "sh", "-c", script, "sh"]) as keeper:
        ran = run(keeper, layered(layers.folder, upper=f"{top}/merged/inner"))
        assert failed(ran) == ("rootfs.prepare", "EINVAL", "fsconfig")
        assert ran.failure is not None
        assert "lies in an overlay" in ran.failure.text


def test_a_lower_directory_with_mounts_below_it(who: Who, layers: Layers) -> None:
    script = f'mount -t tmpfs none {layers.base}/bin/../bin && mount -t tmpfs none {layers.base}/bin && exec "$@"'
    with running_keeper(who, wrapper=["unshare", "-Urm", "sh", "-c", script, "sh"]) as keeper:
        ran = run(keeper, layered(layers.folder))
        assert failed(ran) == ("rootfs.prepare", "EINVAL", "fsconfig")
        assert ran.failure is not None
        assert f"there are mounts below {layers.base}" in ran.failure.text


def test_a_root_of_nothing_but_mounts(keeper: Keeper, folder: Folder) -> None:
    base = folder.busybox("base")
    mounts = (Mount("bind", "/bin", f"{base}/bin", ("ro",)),)
    script = "ls /; touch /x; touch /bin/x; stat -c %a /"
    ran = run(keeper, worker(script, rootfs=Rootfs("tmpfs"), mounts=mounts))
    assert ran.out.split() == ["bin", "dev", "proc", "755"]
    assert ran.err.count("Read-only file system") == 2
    writable = Rootfs("tmpfs", writable=True, size_bytes=65536)
    script = "head -c 300000 /dev/zero > /big; stat -c %s /big"
    assert int(run(keeper, worker(script, rootfs=writable, mounts=mounts)).out) == 65536


def test_a_directory_with_mounts_of_its_own(who: Who, folder: Folder) -> None:
    """They are there, and as closed as the rest."""
    base = folder.busybox("base")
    folder.directory("base/inner")
    script = f'mount -t tmpfs none {base}/inner && touch {base}/inner/there && exec "$@"'
    with running_keeper(who, wrapper=["unshare", "-Urm", "sh", "-c", script, "sh"]) as keeper:
        rootfs = Rootfs("dir", path=str(base))
        ran = run(keeper, worker("ls /inner; touch /inner/x; cat /proc/self/mountinfo", user="root", rootfs=rootfs))
        assert ran.out.startswith("there\n")
        assert "Read-only file system" in ran.err
        inner = next(line for line in ran.out.splitlines() if " /inner " in line)
        assert {"ro", "nosuid", "nodev"} <= set(inner.split()[5].split(","))


@pytest.mark.parametrize("own", [True, False])
def test_whose_attributes_mark_what_was_removed(keeper: Keeper, layers: Layers, own: bool) -> None:
    """Without a user namespace of its own the kernel's, which only root may set."""
    removing = worker("rm /over; mkdir /etc", rootfs=layers.kept(), namespaces=Namespaces(user=own))
    if not own and not keeper.who.privileged:
        with pytest.raises(Refused):
            run(keeper, removing)
        return
    ran = run(keeper, removing)
    assert (ran.failure, ran.code) == (None, 0)
    assert {name.split(".")[0] for name in os.listxattr(layers.upper)} <= {"user" if own else "trusted"}
    assert stat.S_ISCHR((layers.upper / "over").lstat().st_mode)
