"""`python -I -S nsinit/__main__.py PACKAGE_PARENT LISTENER CONNECTION ADOPT_TIMEOUT`: run the keeper.

Isolated and without site, so the package is found by the explicit path only.
"""

import sys

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    from supervisor.nsinit.sealed import execute_sealed

    execute_sealed()
    from supervisor.nsinit.keeper_main import main

    main(sys.argv[2:])
