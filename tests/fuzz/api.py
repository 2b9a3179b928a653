"""`make api-fuzz`: schemathesis against the API of a real daemon with a throw-away fleet, by its OpenAPI description.

Arguments are schemathesis's own: `make api-fuzz ARGS="--max-examples 1000 --seed 7"`. Exits with its status, or 1
where the daemon published `control.failed` or ended.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.accounts import me
from tests.e2e.daemons import running
from tests.fuzz.relay import relayed
from tests.program import Program

FLEET = """
[worker.web]
command = ["sleep", "1000"]
instances = 2

[worker.job]
command = ["sh", "-c", "sleep 0.5; exit 3"]
restart = { delay = "1s" }
"""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
ENDS = ("/v1/shutdown", "/v1/reexec")  # the daemon, or the program that it is
HOST = "127.0.0.1"


def main(arguments: list[str]) -> int:
    program = Program(me(), Path(sys.executable).parent)
    try:
        with running(program, FLEET) as daemon, relayed(program.socket) as port:
            command = [
                *(str(program.bin / "schemathesis"), "run", f"http://{HOST}:{port}/v1/openapi.json"),
                *("--checks", CHECKS, "--request-timeout", "10"),
                *(f"--exclude-path={path}" for path in ENDS),
                *("--generation-database", "none", *arguments),
            ]
            hooks = {"SCHEMATHESIS_HOOKS": "tests.fuzz.api_hooks"}
            status = subprocess.run(command, check=False, env={**os.environ, **hooks}).returncode
            failed = daemon.records("control.failed")
            for record in failed:
                print(record["error"], record["traceback"], sep="\n")
            alive = daemon.ask("GET", "/v1/version")[0] == 200
        return status or int(bool(failed) or not alive)
    finally:
        program.remove()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
