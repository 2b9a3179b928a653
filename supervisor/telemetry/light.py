"""structlog without rich, which it imports where it is installed, for tracebacks not used here: 4 MB and 40 ms."""

import sys

_absent = "rich" not in sys.modules
if _absent:
    sys.modules["rich"] = None  # type: ignore[assignment]  # "cannot be imported", says the import system
try:
    import structlog
finally:
    if _absent:
        del sys.modules["rich"]

__all__ = ["structlog"]
