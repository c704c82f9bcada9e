"""Runs the command line: ``python -m dvbench``."""

import sys

from dvbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
