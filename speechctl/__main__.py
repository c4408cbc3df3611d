"""``python -m speechctl``."""

from speechctl.cli import run

run()
