"""Free space on the disks that the daemon writes to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from speechaid.protocol.text import printable_name
from speechaid.rules.check_findings import NO_SPACE_MB

#: What the state directory is called; a full disk of it stops no call.
STATE_DIRECTORY: Final = "state directory"


def disks(places: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The free space of each path, in MiB; a path that cannot be read is left out.

    ``full`` is True below ``NO_SPACE_MB``: on a disk without any space, no result could be recorded.
    """
    found = []
    for name, path in places.items():
        try:
            free_mb = shutil.disk_usage(path).free // 2**20
        except OSError:
            continue
        found.append(
            {"of": name, "path": printable_name(path), "free_mb": free_mb, "full": free_mb < NO_SPACE_MB}
        )
    return found
