"""python -m poller.testing: see process.py."""

import sys

from poller.testing.process import main

if __name__ == "__main__":
    sys.exit(main())
