"""Limits of a daemon that is started by hand: those that the unit sets for a service."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest


def limits_after(program: str, *, core: int, descriptors: tuple[int, int]) -> dict[str, list[int]]:
    """The limits of a child of a process that began with these and ran the program."""

    def begin() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (core, core))
        resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)

    child = (
        "import json, resource; print(json.dumps({name: resource.getrlimit(getattr(resource, name))"
        " for name in ('RLIMIT_CORE', 'RLIMIT_NOFILE')}))"
    )
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{start}"],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=begin,
    )
    limits: dict[str, list[int]] = json.loads(done.stdout)
    return limits


def test_the_process_and_its_children_write_no_core_file() -> None:
    program = "from speechaid.fleet.processes import forbid_core_files; forbid_core_files()"
    found = limits_after(program, core=2**20, descriptors=(1024, 1024))
    assert found["RLIMIT_CORE"][0] == 0


@pytest.mark.parametrize("hard", [2048, 4096])
def test_the_soft_descriptor_limit_is_raised_as_far_as_the_hard_one_allows(hard: int) -> None:
    program = "from speechaid.fleet.processes import reserve_descriptors; reserve_descriptors(6)"
    found = limits_after(program, core=0, descriptors=(1024, hard))
    assert found["RLIMIT_NOFILE"] == [hard, hard]
