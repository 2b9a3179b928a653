"""The picture of a launch: valid, to scale, with everything that the text says."""

import xml.etree.ElementTree as ET

import pytest

from supervisor.cli.waterfall_svg import LEFT, RIGHT, WIDTH, picture
from supervisor.spec.records import LaunchRecord, PhaseRecord, Usual

SVG = "{http://www.w3.org/2000/svg}"
CLONE = PhaseRecord("clone", "user pid", "ok", 0, 1000)
BIND = PhaseRecord("mount.bind", "/srv <&\x1b\udcff>", "ok", 1000, 9000)
SKIPPED = PhaseRecord("ns.time", "not asked for", "skipped", 10_000, 0)
LAUNCH = LaunchRecord("web", 3, 1000.0, 10_000, "ok", (CLONE, BIND, SKIPPED))


def drawn(launch: LaunchRecord, usual: Usual | None = None) -> ET.Element:
    return ET.fromstring(picture([(launch, usual)], lambda instant: f"@{instant:g}"))  # noqa: S314 our own


def texts(root: ET.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def bars(root: ET.Element) -> list[tuple[float, float, str]]:
    """x, width and fill; without the ground."""
    found = [one.attrib for one in root.iter(f"{SVG}rect")][1:]
    return [(float(one["x"]), float(one["width"]), one["fill"]) for one in found]


def test_bars_are_to_scale_and_skipped_phases_have_none() -> None:
    root, width = drawn(LAUNCH), RIGHT - LEFT
    (first, short, _), (second, long, _) = bars(root)
    assert first == LEFT
    assert [second, short, long] == pytest.approx([LEFT + width / 10, width / 10, width * 0.9], abs=0.1)
    assert "web#3, @1000, done in 10.0ms" in texts(root)
    assert "not asked for skipped" in texts(root)


def test_medians_are_frames_and_what_was_slower_is_said() -> None:
    root = drawn(LAUNCH, Usual(7, 2000, (1000, 1000, 0)))
    fills = [fill for _, _, fill in bars(root)]
    assert fills.count("none") == 2
    assert len(set(fills)) == 3
    said = texts(root)
    assert "web#3, @1000, done in 10.0ms; usually 2.0ms (median of 7)" in said
    assert "slower than usual: mount.bind (/srv <&\ufffd\ufffd>): 9.0ms instead of 1.0ms" in said


def test_what_failed_is_red_with_its_hint() -> None:
    failed = PhaseRecord("mount.bind", "/srv", "failed", 1000, 1, "ENOENT", "open_tree", None, "It is absent. Try: ls")
    root = drawn(LaunchRecord("web", 3, 1000.0, 2000, "failed", (CLONE, failed)))
    assert "Failed in mount.bind: open_tree: ENOENT (/srv)" in texts(root)
    assert "It is absent. Try: ls" in texts(root)
    assert bars(root)[-1][1] == 1.0
    assert bars(root)[-1][2] != bars(root)[0][2]


def test_nothing_reaches_beyond_the_edges() -> None:
    long = PhaseRecord("exec", "x" * 500, "failed", 5000, 5000, message="m" * 1000)
    root = drawn(LaunchRecord("web", 3, 1000.0, 10_000, "failed", (CLONE, long)), Usual(1, 10**9, (10**9, 1)))
    assert all(x + width <= RIGHT + 0.1 for x, width, _ in bars(root))
    height = float(root.attrib["height"])
    for text in root.iter(f"{SVG}text"):
        x, width = float(text.attrib["x"]), 7.23 * len(text.text or "")  # a letter of 12 px is about so wide
        style = text.attrib.get("class", "")
        right = x if "e" in style.split() else x + width / 2 if "c" in style.split() else x + width
        assert right <= WIDTH, text.text
        assert float(text.attrib["y"]) < height


def test_a_launch_without_phases_and_several_launches() -> None:
    both = [(LaunchRecord("web-0", 1, 5.0, 0, "interrupted"), None), (LAUNCH, None)]
    root = ET.fromstring(picture(both, str))  # noqa: S314 our own
    assert root.find(f"{SVG}title") is not None
    assert [one for one in texts(root) if "#" in one] == [
        "web-0#1, 5.0, interrupted after 0us",
        "web#3, 1000.0, done in 10.0ms",
    ]
