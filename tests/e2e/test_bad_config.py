"""A configuration that cannot be used: the daemon says all that is wrong with it, leaves, and touched nothing."""

import json

import pytest

from tests.program import Program

FAULTS = {
    "unknown key": ('[worker.a]\ncommand = ["true"]\nhostnam = "x"\n', 3, "worker.a.hostnam", "hostname"),
    "wrong type": ('[worker.a]\ncommand = ["true"]\ninstances = "two"\n', 3, "worker.a.instances", "two"),
    "duplicate worker": ('[worker.a]\ncommand = ["true"]\n[worker.a]\ncommand = ["false"]\n', 3, "", "a"),
    "cycle": (
        '[worker.a]\ncommand = ["true"]\nafter = ["b"]\n[worker.b]\ncommand = ["true"]\nafter = ["a"]\n',
        3,
        "worker.a.after",
        "a → b → a",
    ),
    "dangling after": (
        '[worker.a]\ncommand = ["true"]\n[worker.b]\ncommand = ["true"]\nafter = ["aa"]\n',
        5,
        "b.after",
        "a",
    ),
    "missing command": ('[worker.a]\nhostname = "x"\n', 1, "worker.a.command", "missing"),
    "hostname too long": ('[worker.a]\ncommand = ["true"]\nhostname = "%s"\n' % ("h" * 65), 3, "hostname", "64"),
}


@pytest.mark.parametrize("verb", ["daemon", "check"])
@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault(nsvisor: Program, fault: str, verb: str) -> None:
    text, line, key, word = FAULTS[fault]
    file = nsvisor.write("nsvisor.toml", text)
    done = nsvisor.run("--config", str(file), verb)
    assert done.returncode == 1
    said = done.stderr if verb == "daemon" else done.stdout
    assert said.startswith(f"{file}:{line}: "), said
    assert key in said
    assert word in said
    assert "Traceback" not in done.stderr
    assert list(nsvisor.runtime.iterdir()) == []
    assert list(nsvisor.state.iterdir()) == []


@pytest.mark.parametrize("verb", ["daemon", "check"])
def test_all_faults_are_said_at_once(nsvisor: Program, verb: str) -> None:
    one = '[worker.a]\ncommand = ["true"]\nhostnam = "x"\ninstances = "two"\nafter = ["nobody"]\n[worker.b]\n'
    file = nsvisor.write("nsvisor.toml", one)
    done = nsvisor.run("--config", str(file), verb)
    assert done.returncode == 1
    lines = (done.stderr if verb == "daemon" else done.stdout).splitlines()
    found = [line for line in lines if line.startswith(f"{file}:")]
    assert len(found) == 4, lines


def test_check_says_it_to_programs_too(nsvisor: Program) -> None:
    file = nsvisor.write("nsvisor.toml", FAULTS["unknown key"][0])
    done = nsvisor.run("--config", str(file), "check", "--json")
    assert done.returncode == 1
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["line"], problem["key"], problem["nearest"]) == (3, "worker.a.hostnam", "hostname")


def test_no_configuration_at_all(nsvisor: Program) -> None:
    done = nsvisor.run("daemon")
    assert done.returncode == 1
    assert "nsvisor/nsvisor.toml" in done.stderr
    assert "--config" in done.stderr
