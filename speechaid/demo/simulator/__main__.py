"""``python -m speechaid.demo.simulator``."""

import sys

from speechaid.demo.simulator.server import main

sys.exit(main())
