"""Whether a form was sent by the page itself: pure.

Two independent proofs, of which each alone suffices where browsers keep their rules: the browser's own word
about where a request comes from (``Sec-Fetch-Site``, ``Origin``), and a token that only a page of this
session has.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

#: Methods that change nothing.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: ``none``: the user typed the address, or reloaded the page.
_OWN_SITES: Final = frozenset({"same-origin", "none"})


def is_own_request(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that a request comes from a page of this server.

    A client that sends neither header is no browser of today: it is refused.

    Args:
        headers: of the request, names in small letters.
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site not in _OWN_SITES:
        return False
    origin = headers.get("origin")
    if origin is None:
        return site is not None
    return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""


def token_of(secret: str) -> str:
    """The token that each form of a session carries; it does not open the session."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()


def is_token_of(secret: str, token: str) -> bool:
    """Whether a form carries the token of this session."""
    return hmac.compare_digest(token_of(secret).encode(), token.encode("utf-8", "surrogatepass"))


def is_own_path(path: str) -> bool:
    """Whether this is a path of this server, to which a browser may be sent: no other host's address."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\"))
    return is_local and path.isprintable() and "\\" not in path and not urlsplit(path).netloc
