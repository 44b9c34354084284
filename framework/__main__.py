"""``python -m framework``."""

import sys

from framework.app import main

if __name__ == "__main__":
    sys.exit(main())
