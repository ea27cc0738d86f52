"""`python -m autoscaler`: the command line, where no script of it is on PATH."""

import sys

from autoscaler.cli import main

if __name__ == "__main__":
    sys.exit(main())
