"""Addresses that lead to another machine without encryption; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote

from speechaid.protocol.translation import say

_TLS_OFF: Final = frozenset({"tls=false", "ssl=false"})


def cleartext_warnings(*, mongo_uri: str, retell_url: str, webhook_url: str) -> Iterator[str]:
    """One line for each address to which data travels in the clear.

    Args:
        mongo_uri: ``MONGO_URI``.
        retell_url: ``RETELL_BASE_URL``.
        webhook_url: ``SPEECHAID_ALERT_WEBHOOK_URL``; empty where there is none. It is not shown.
    """
    if _is_plain_http(retell_url):
        yield say("RETELL_BASE_URL begins with http://: the API key travels in the clear")
    if _is_plain_http(webhook_url):
        yield (
            say(
                "SPEECHAID_ALERT_WEBHOOK_URL begins with http://: alerts, and a token in the"
                " address, travel in the clear"
            )
        )
    if _is_plain_mongo(mongo_uri):
        yield say("MONGO_URI has no tls=true: people's data and the database's password travel in the clear")


def _is_plain_http(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    return scheme.lower() == "http" and not _is_loopback(re.split("[/?#]", rest, maxsplit=1)[0])


def _is_plain_mongo(uri: str) -> bool:
    """Whether TLS is off; an address with ``+srv`` has it unless told otherwise."""
    scheme, _, rest = uri.partition("://")
    hosts = re.split("[/?]", rest.rpartition("@")[2], maxsplit=1)[0].split(",")
    if not scheme.startswith("mongodb") or all(map(_is_loopback, hosts)):
        return False
    options = re.split("[&;]", rest.partition("?")[2].lower())
    # The names of certificates turn it on, too.
    with_tls = any(option.startswith(("tls", "ssl=true")) for option in options)
    return bool(_TLS_OFF & set(options)) or not (with_tls or scheme == "mongodb+srv")


def _is_loopback(host: str) -> bool:
    """Whether a ``HOST:PORT`` is this machine, or a unix socket."""
    name = unquote(host).lower()
    if name.startswith("/") or not name:
        return True
    bare = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    try:
        return ip_address(bare).is_loopback
    except ValueError:
        return bare == "localhost"
