"""The pinned lists in requirements/ agree with pyproject.toml; ``scripts/lock`` makes them anew."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
PYPROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NAME: Final = PYPROJECT["project"]["name"]
EXTRAS: Final[dict[str, list[str]]] = PYPROJECT["project"]["optional-dependencies"]
GROUPS: Final[dict[str, list[str]]] = PYPROJECT["dependency-groups"]
#: Their versions are dates, which promise nothing: pyproject.toml says why they have no upper bound.
DATED: Final = {"certifi", "tzdata"}


class Pin(NamedTuple):
    """One package of a list."""

    requirement: Requirement
    hashes: list[str]
    #: Whether the list names the project itself as what asks for it.
    is_direct: bool

    @property
    def version(self) -> str:
        (specifier,) = self.requirement.specifier
        assert specifier.operator == "=="
        return specifier.version


def parse_list(text: str) -> dict[str, Pin]:
    """The packages of a list, by canonical name."""
    pins: dict[str, Pin] = {}
    # An entry begins in the first column; its hashes, then a comment on what asks for it, are indented.
    for entry in re.split(r"\n(?=\S)", text.rstrip("\n")):
        if entry.startswith("#"):
            continue
        first, *rest = (line.strip().removesuffix("\\").strip() for line in entry.splitlines())
        requirement = Requirement(first)
        hashes = [line.removeprefix("--hash=") for line in rest if line.startswith("--hash=")]
        askers = [line.lstrip("# ").removeprefix("via ") for line in rest if line.startswith("#")]
        is_direct = any(asker.startswith(f"{NAME} (") for asker in askers)
        pins[canonicalize_name(requirement.name)] = Pin(requirement, hashes, is_direct)
    return pins


def with_extras(texts: list[str]) -> Iterator[Requirement]:
    """The requirements, with the project's own extras in the place of ``speechaid[extra]``."""
    for requirement in map(Requirement, texts):
        if requirement.name == NAME:
            for extra in requirement.extras:
                yield from with_extras(EXTRAS[extra])
        else:
            yield requirement


LISTS: Final = {
    "demo": [*PYPROJECT["project"]["dependencies"], *EXTRAS["demo"]],
    "test": [*PYPROJECT["project"]["dependencies"], *EXTRAS["test"]],
    "build": GROUPS["build"],
    "tools": GROUPS["tools"],
}


def read_list(name: str) -> dict[str, Pin]:
    return parse_list((ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8"))


def test_every_dependency_has_a_lower_and_an_upper_bound() -> None:
    declared = {
        requirement.name: requirement.specifier
        for texts in (*LISTS.values(), *EXTRAS.values(), PYPROJECT["build-system"]["requires"])
        for requirement in with_extras(texts)
    }
    operators = {name: sorted(one.operator for one in bounds) for name, bounds in declared.items()}
    assert {name for name, found in operators.items() if found == [">="]} == DATED
    assert {name for name, found in operators.items() if found != ["<", ">="]} == DATED


def test_the_backend_that_is_pinned_is_the_one_that_builds() -> None:
    assert set(PYPROJECT["build-system"]["requires"]) <= set(GROUPS["build"])


def test_there_is_no_list_that_nothing_asks_for() -> None:
    assert {path.name for path in (ROOT / "requirements").iterdir()} == {f"{name}.txt" for name in LISTS}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_pins_what_pyproject_asks_for_within_its_bounds(name: str) -> None:
    pins = read_list(name)
    stale = [
        str(requirement)
        for requirement in with_extras(LISTS[name])
        if (pin := pins.get(canonicalize_name(requirement.name))) is None
        or not requirement.specifier.contains(pin.version, prereleases=True)
    ]
    assert not stale, "run scripts/lock --keep"


@pytest.mark.parametrize("name", LISTS)
def test_a_list_holds_nothing_that_pyproject_no_longer_asks_for(name: str) -> None:
    asked = {canonicalize_name(requirement.name) for requirement in with_extras(LISTS[name])}
    direct = {package for package, pin in read_list(name).items() if pin.is_direct}
    assert direct == asked, "run scripts/lock --keep"


@pytest.mark.parametrize("name", LISTS)
def test_each_line_of_a_list_is_pinned_and_hashed(name: str) -> None:
    pins = read_list(name)
    assert pins
    for pin in pins.values():
        assert pin.version
        assert pin.hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in pin.hashes)


@pytest.mark.parametrize("name", ["demo", "build"])
def test_what_is_in_two_lists_has_the_version_that_the_tests_run_on(name: str) -> None:
    tested = read_list("test")
    versions = {package: pin.version for package, pin in read_list(name).items() if package in tested}
    assert versions == {package: tested[package].version for package in versions}


def test_a_line_without_hash_or_with_a_range_is_seen() -> None:
    pins = parse_list("# made by hand\none==1.0\ntwo==2.0 \\\n    --hash=sha256:ab\n    # via\n    #   one\n")
    assert {name: (pin.version, pin.hashes) for name, pin in pins.items()} == {
        "one": ("1.0", []),
        "two": ("2.0", ["sha256:ab"]),
    }
    with pytest.raises(AssertionError):
        _ = parse_list("one>=1.0\n")["one"].version
