"""What every question is given."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from scale import Scale
from workload import Workload


@dataclass
class Context:
    top: Path
    workload: Workload
    scale: Scale

    def fresh(self) -> Path:
        """A new folder."""
        return Path(tempfile.mkdtemp(dir=self.top))
