"""``python -m speechaid``."""

import sys

from speechaid.cli import main

sys.exit(main())
