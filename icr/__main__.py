"""`python -m icr`, the same as `icr`."""

import sys

from icr.cli import main

if __name__ == "__main__":
    sys.exit(main())
