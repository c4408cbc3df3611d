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
#: What the database's driver and its libraries read in the environment, beside the address.
DATABASE_VARIABLES = frozenset(
    {"SSL_CERT_FILE", "SSL_CERT_DIR", "KRB5CCNAME", "KRB5_CONFIG"}
    | {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_REGION"}
    | {"AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_WEB_IDENTITY_TOKEN_FILE"}
    | {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"}
)


def child_environment(*, connects_to_database: bool = False) -> dict[str, str]:
    """What Python and the system need, and no secret of ours; what a connection to the database needs."""
    passed = PASSED_VARIABLES | (DATABASE_VARIABLES if connects_to_database else frozenset())
    own = {name: value for name, value in os.environ.items() if name in passed}
    # For a checkout that is not installed: the child imports speechaid from where we did.
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return own | {"PYTHONPATH": path}
