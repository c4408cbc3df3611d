"""A short poison run on each server: hostile documents cost their own calls, and nobody else's."""

from __future__ import annotations

import pytest

from tests.poison.run import SERVERS, Options, run
from tests.support.sibling import sibling_program

#: Without the second server ``scripts/sibling`` has said so; in CI it has failed.
AVAILABLE = [name for name in SERVERS if name != "sibling" or sibling_program()]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", AVAILABLE)
def test_beside_hostile_documents_every_sound_job_is_called_once_and_doctor_names_the_others(
    server: str,
) -> None:
    report = run(Options(seed=1, count=150, server=server))
    assert report.faults == [], report.directory
    # The server took them, or nothing was tested.
    assert report.refused < 10
