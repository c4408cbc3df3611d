"""The zone data that calling hours go by: the newer of the system's and the package tzdata's.

``zoneinfo`` takes the system's first, however old it is: where a country has changed its clocks since, people
would be called at an hour that its law forbids. Hosts with one set of packages also agree then.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import zoneinfo
from dataclasses import dataclass
from pathlib import Path

#: How IANA names a release: 2025b.
_RELEASE = re.compile(r"^# version (\d{4}[a-z]+)$")


@dataclass(frozen=True, kw_only=True)
class ZoneData:
    """Both sets of zone data by their releases, and which of them is used."""

    #: The directory of the system's; None where there is none.
    directory: str | None
    #: None: not known.
    system: str | None
    #: Of the package tzdata; None where it is not installed.
    package: str | None
    #: Whether the operator has named the directory (``PYTHONTZPATH``): then it stays in use.
    named: bool

    @property
    def uses_package(self) -> bool:
        """Whether the package's data is used; of an unknown release the system's is."""
        if self.directory is None:
            return True
        return not self.named and is_newer(self.package, self.system)


def is_newer(release: str | None, than: str | None) -> bool:
    """Whether one release is known to be newer; 2025b follows 2025a, and 2025za would follow 2025z."""
    return release is not None and than is not None and _order(release) > _order(than)


@functools.cache
def use_newest_zone_data() -> ZoneData:
    """Have ``zoneinfo`` use the newer data in this process; call it before the first zone is used."""
    directory = next((path for path in zoneinfo.TZPATH if Path(path).is_dir()), None)
    found = ZoneData(
        directory=directory,
        system=None if directory is None else release_of(Path(directory)),
        package=_package_release(),
        named="PYTHONTZPATH" in os.environ,
    )
    if found.uses_package and found.directory is not None:
        zoneinfo.reset_tzpath(to=())
        zoneinfo.ZoneInfo.clear_cache()
    return found


def release_of(directory: Path) -> str | None:
    """The release of a system's zone data, by the first line of its ``tzdata.zi``; None where unknown."""
    try:
        with (directory / "tzdata.zi").open(encoding="utf-8", errors="replace") as file:
            match = _RELEASE.match(file.readline(100))
    except OSError:
        return None
    return None if match is None else match[1]


def _order(release: str) -> tuple[str, int, str]:
    return release[:4], len(release), release


def _package_release() -> str | None:
    try:
        return str(importlib.import_module("tzdata").IANA_VERSION)
    except ImportError:
        return None
