"""`python -m papa`."""

import sys

from papa.cli import main

sys.exit(main())
