"""What import-linter cannot see: which modules are really there once a process has imported its part."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# What costs nsinit milliseconds and memory in every sandbox, or starts threads.
HEAVY = {
    "asyncio",
    "concurrent",
    "ctypes.util",
    "dataclasses",
    "inspect",
    "json",
    "logging",
    "subprocess",
    "threading",
    "typing",
}
# What no command that only talks to the daemon may pay for.
DAEMON_ONLY = {
    "trio",
    "starlette",
    "hypercorn",
    "structlog",
    "psutil",
    "prometheus_client",
    "supervisor.daemon",
    "supervisor.runtime",
}


def modules_of(package: str) -> list[str]:
    """Every module of a package, dotted."""
    files = (ROOT / package).rglob("*.py")
    names = (".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files)
    return sorted(name.removesuffix(".__init__") for name in names if not name.endswith("__main__"))


def imported_by(statements: str, *flags: str) -> set[str]:
    """What is in sys.modules of a fresh interpreter after these statements."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{statements}\nprint(list(sys.modules))"
    done = subprocess.run([sys.executable, *flags, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded: list[str] = json.loads(done.stdout.replace("'", '"'))
    return set(loaded)


def test_nsinit_imports_only_what_is_light() -> None:
    modules = modules_of("supervisor/nsinit")
    assert len(modules) > 2
    loaded = imported_by("\n".join(f"import {name}" for name in modules), "-I", "-S")
    assert set(modules) <= loaded
    assert not loaded & HEAVY
    assert {name.split(".")[1] for name in loaded if name.startswith("supervisor.")} <= {
        "kernel",
        "nsinit",
        "phases",
        "wire",
    }


def test_nsinit_needs_no_installed_package() -> None:
    loaded = imported_by("\n".join(f"import {name}" for name in modules_of("supervisor/nsinit")), "-I", "-S")
    outside = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names) - {"__main__", "supervisor"}
    assert not outside


@pytest.mark.parametrize("package", ["supervisor/policy", "supervisor/sandbox"])
def test_pure_layers_load_no_event_loop_and_no_log(package: str) -> None:
    loaded = imported_by("\n".join(f"import {name}" for name in modules_of(package)))
    assert not loaded & {"trio", "structlog", "asyncio", "socket", "subprocess"}


def test_the_command_line_loads_the_daemon_only_where_it_runs_it() -> None:
    assert not imported_by("import supervisor.cli.main") & DAEMON_ONLY
