"""What bridges cost those who have none."""

import subprocess
import sys


def test_pyroute2_is_loaded_where_a_bridge_is_used_only() -> None:
    code = "import sys, supervisor.daemon, supervisor.cli.run_foreground; sys.exit('pyroute2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
