"""The fleet under torture."""

import shutil
from pathlib import Path

KINDS = {
    "steady-0": "steady",
    "steady-1": "steady",
    "flood": "flood",
    "halves": "halves",
    "crashy": "crashy",
    "deaf": "deaf",
    "probed": "steady",
    "hand": "steady",
    "changing": "steady",
    "net": "steady",
}
WORKER = """
[worker.{name}]
command = ["python3", "-S", "-c", {text}, "{instance}", "{kind}"]
mounts = [{{ type = "bind", source = "{data}", target = "/data" }}]
log = {{ max_size = "1GiB" }}
{keys}
"""
KEYS = {
    "steady": "instances = 2",
    "deaf": 'stop = { grace = "0.3s" }',
    "probed": 'ready = { kind = "log", pattern = " 3 ", timeout = "60s" }',
    "net": 'network = { mode = "pasta" }',
}
RESTART = '[defaults.restart]\ndelay = "0.1s"\nfactor = 1.0\njitter = 0\n'  # a crash is not to hold up the rounds


def instances() -> list[str]:
    """Their names."""
    return [name for name in KINDS if name != "net" or shutil.which("pasta")]


def fleet(data: Path, *, changed: bool) -> str:
    """The TOML, in one of two variants that differ in the worker `changing`."""
    text = Path(__file__).with_name("workload.py").read_text()
    literal = _literal(text)
    parts = ['[supervisor]\nadopt_timeout = "60s"\nlog_level = "debug"\n', RESTART]
    for name in dict.fromkeys(name.partition("-")[0] for name in instances()):
        keys = KEYS.get(name, "")
        if name == "changing":
            keys = f'env = {{ VARIANT = "{int(changed)}" }}'
        instance = f"{name}-{{index}}" if name == "steady" else name
        kind = KINDS.get(name, "steady")
        parts.append(WORKER.format(name=name, text=literal, instance=instance, kind=kind, data=data, keys=keys))
    return "".join(parts)


def _literal(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{quoted}"'
