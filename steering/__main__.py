"""`python -m steering` is the command waypost, where nothing is installed."""

import sys

from steering.cli import main

if __name__ == "__main__":
    sys.exit(main())
