"""In CI a skipped test fails the run; elsewhere it does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(("ci", "status"), [("true", pytest.ExitCode.TESTS_FAILED), ("", pytest.ExitCode.OK)])
def test_a_skipped_test_fails_a_run_in_ci_alone(tmp_path: Path, ci: str, status: pytest.ExitCode) -> None:
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_runs(): pass\ndef test_skipped(): pytest.skip('no such tool here')\n"
    )
    plugins = ("-p", "tests.conftest", "-p", "no:cacheprovider")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "-n", "2", "-c", "/dev/null", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed, 1 skipped" in done.stdout
    assert done.returncode == status, done.stdout
