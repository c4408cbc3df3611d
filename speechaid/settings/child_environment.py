"""The environment of child processes that need no setting of ours."""

from __future__ import annotations

import os
from pathlib import Path

#: Variables that they get. The API key, MONGO_URI and all other settings are not their business.
PASSED_VARIABLES = frozenset(
    {"PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV"}
    | {"PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONUTF8", "PYTHONIOENCODING"}
    | {"MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"}
)


def child_environment() -> dict[str, str]:
    """What Python and the system need, and no secret of ours."""
    own = {name: value for name, value in os.environ.items() if name in PASSED_VARIABLES}
    # For a checkout that is not installed: the child imports speechaid from where we did.
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return own | {"PYTHONPATH": path}
