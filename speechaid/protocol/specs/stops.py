"""What stops all calls at once, and lets them go on."""

from __future__ import annotations

from typing import Final

from speechaid.protocol.specs.arguments import REASON
from speechaid.protocol.specs.specification import background_write

SPECS: Final = (
    background_write(
        "hold",
        "emergency stop: no new dial on any host, from the answer on, until unhold",
        REASON,
        timeout_seconds=120.0,
        urgent=True,
    ),
    background_write("unhold", "end the hold: dials are placed again"),
    background_write(
        "pause-all",
        "pause every active batch, as pause-batch does",
        REASON,
        timeout_seconds=120.0,
        urgent=True,
    ),
    background_write("resume-all", "resume the batches that pause-all paused, and no others"),
)
