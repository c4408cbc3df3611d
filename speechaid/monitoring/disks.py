"""Room on the disks that a daemon writes to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechaid.rules.check_findings import NO_SPACE_MB


def disks(places: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The room that each place has, in MiB; one that cannot be asked is left out.

    ``full`` is told before the last byte is gone: then nothing could be written about it any more.
    """
    found = []
    for name, path in places.items():
        try:
            free_mb = shutil.disk_usage(path).free // 2**20
        except OSError:
            continue
        found.append({"of": name, "path": str(path), "free_mb": free_mb, "full": free_mb < NO_SPACE_MB})
    return found
