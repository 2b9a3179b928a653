"""Overlays in a plan, and the hints of their failures."""

import msgspec
import pytest

from supervisor.sandbox.hints import hint
from supervisor.sandbox.plan import compile_plan
from supervisor.spec.model import Mount, Namespaces, Rootfs, Worker
from tests.sandbox.test_plan import FACTS, ROOT

KEPT = Rootfs("overlay", lower=("/a", "/b"), upper="/u/p")


def prepared(rootfs: Rootfs) -> tuple[str, tuple[str | int, ...], list[str]]:
    """Of rootfs.prepare the detail and arguments; what comes after the mounts."""
    found = compile_plan(Worker("web", ("x",), rootfs=rootfs), 0, FACTS)
    step = next(step for step in found.steps if step.phase == "rootfs.prepare")
    return step.detail, step.arguments, [step.phase for step in found.steps if step.phase == "rootfs.seal"]


@pytest.mark.parametrize(
    ("rootfs", "detail", "arguments", "sealed"),
    [
        (KEPT, "overlay /u/p over /a /b", ("overlay", "1", "", "/u/p", "/u/p.work", "/a", "/b"), False),
        (Rootfs("overlay", lower=("/a",)), "overlay thrown away over /a", ("overlay", "1", "", "", "", "/a"), False),
        (
            Rootfs("overlay", lower=("/a",), size_bytes=5),
            "overlay thrown away over /a",
            ("overlay", "1", "5", "", "", "/a"),
            False,
        ),
        (
            Rootfs("overlay", lower=("/a",), upper="/u/", work="/w"),
            "overlay /u/ over /a",
            ("overlay", "1", "", "/u/", "/w", "/a"),
            False,
        ),
        (Rootfs("tmpfs"), "tmpfs", ("tmpfs", ""), True),
        (Rootfs("tmpfs", writable=True, size_bytes=5), "tmpfs size 5", ("tmpfs", "5"), False),
    ],
)
def test_roots(rootfs: Rootfs, detail: str, arguments: tuple[str, ...], sealed: bool) -> None:
    assert prepared(rootfs) == (detail, arguments, ["rootfs.seal"] if sealed else [])


def test_mounts() -> None:
    mounts = (
        Mount("overlay", "/x", lower=("/a", "/b"), options=("ro",)),
        Mount("overlay", "/y", lower=("/a",), upper="/u", options=("noexec",)),
    )
    found = compile_plan(Worker("web", ("x",), mounts=mounts), 0, FACTS)
    assert [(step.detail, step.arguments) for step in found.steps if step.phase == "mount.overlay"] == [
        ("/x: read-only over /a /b ro", ("/x", 2, "1", "", "", "", "/a", "/b", "ro")),
        ("/y: /u over /a noexec", ("/y", 1, "1", "", "/u", "/u.work", "/a", "noexec")),
    ]


def test_outside_a_user_namespace_root_s_own_attributes_are_used() -> None:
    worker = Worker("web", ("x",), rootfs=KEPT, namespaces=Namespaces(user=False))
    found = compile_plan(worker, 0, msgspec.structs.replace(ROOT, privileged=True))
    assert next(step.arguments[1] for step in found.steps if step.phase == "rootfs.prepare") == "0"


@pytest.mark.parametrize(
    ("phase", "detail", "name", "call", "words", "path"),
    [
        ("rootfs.prepare", "overlay /u/p over /a /b", "EAGAIN", "flock", "Another sandbox", None),
        ("rootfs.prepare", "overlay /u/p over /a /b", "EINVAL", "fsconfig", "one mount of a file system", "/u/p"),
        ("rootfs.prepare", "overlay thrown away over /a /b", "EINVAL", "mount", "below lower no mounts", "/a"),
        ("rootfs.prepare", "overlay /u/p over /a", "ENOENT", "openat", "does not exist", "/u/p"),
        ("rootfs.prepare", "overlay /u/p over /a", "EACCES", "mkdirat", "by `work`", "/u/p"),
        ("mount.overlay", "/x: read-only over /a /b ro", "ELOOP", "fsconfig", "above or below", "/a"),
        ("mount.overlay", "/x: /u over /a", "ENODEV", "fsopen", "no overlayfs", None),
        ("mount.overlay", "/x: /u over /a", "EINVAL", "move_mount", "target is a file", None),
        ("mount.overlay", "/x: /u over /a", "EPERM", "fsopen", "Linux 5.11", None),
        ("mount.dev", "/dev", "EOVERFLOW", "mkdirat", "does not map", None),
        ("rootfs.prepare", "dir /r", "ENOENT", "open_tree", "does not exist", "/r"),
    ],
)
def test_hints(phase: str, detail: str, name: str, call: str, words: str, path: str | None) -> None:
    found = hint(phase, name, detail, FACTS, syscall=call)
    assert found is not None
    assert words in found.sentence
    assert path is None or (found.command or "").endswith(f" {path}")
