"""Where the second server cannot be built, that is said, and in CI it is a failure."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.sibling import SCRIPT


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)], ids=["on a developer's machine", "in CI"])
def test_without_cargo_the_second_server_is_left_out_in_words(tmp_path: Path, ci: str, status: int) -> None:
    # No program at all is on this PATH.
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path), "SPEECHAID_CACHE": str(tmp_path), "CI": ci}
    done = subprocess.run([SCRIPT], check=False, env=environ, capture_output=True, text=True)
    assert done.returncode == status
    assert "no cargo here" in done.stderr
    assert "run on the embedded one alone" in done.stderr
