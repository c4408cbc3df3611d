"""``python -m speechaid.settings docs/settings.md`` writes the page's table anew from the declarations."""

from __future__ import annotations

import sys
from pathlib import Path

from speechaid.settings.table import TABLE_BEGINS, settings_table

page = Path(sys.argv[1])
introduction, _, _ = page.read_text(encoding="utf-8").partition(TABLE_BEGINS)
page.write_text(introduction + TABLE_BEGINS + settings_table(), encoding="utf-8")
