"""`make demo` as an ordinary user, and as root: it shows what it promises, ends with 0 and leaves nothing."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.program import Program

CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.mark.parametrize("who", ["nsvisor", "root_nsvisor"])
def test_demo(who: str, request: pytest.FixtureRequest) -> None:
    program: Program = request.getfixturevalue(who)
    folder = program.folder("conf")  # the clone may be where the user cannot look
    for name in ("demo.sh", "demo.toml"):
        program.user.owns(Path(shutil.copy(CONF / name, folder)))
    environ = {**program.environ, "TMPDIR": str(program.folder("tmp"))}
    done = subprocess.run(
        [str(folder / "demo.sh"), str(program.bin / "nsvisor")],
        check=False,
        capture_output=True,
        text=True,
        timeout=90,
        stdin=subprocess.DEVNULL,
        env=environ,
        cwd=program.top,
        **program.user.identity(),  # type: ignore[call-overload]
    )
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    table = said.partition("$ nsvisor ps\n")[2].partition("\n\n")[0]
    states = {line.split()[0]: line.split()[1] for line in table.splitlines()}
    assert states["web"] == "ready"
    assert states["job"] == "completed"
    assert states["visitor"] == "completed"
    assert states["crashy"] in {"ready", "backoff", "creating"}
    assert "from inside the sandbox's network: 200" in said
    assert "mount.bind" in said
    assert "ENOENT" in said
    assert "none is left" in said
    assert ("as root" in said) == (who == "root_nsvisor")
    assert list((program.top / "tmp").iterdir()) == []
