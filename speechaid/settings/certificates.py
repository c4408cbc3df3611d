"""Certificate files that the settings name, read at the start: later each connection would fail for them.

MongoDB's driver reports such a file as a bare ``OSError`` or ``SSLError``; a request to Retell fails like any
outage, and is repeated without end.
"""

from __future__ import annotations

import re
import ssl
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote_plus

from speechaid.protocol.translation import say, system_fault

#: Variables with the certificates for Retell, strongest first; not settings of speechaid, but conventions.
CA_VARIABLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def certificate_faults(mongo_uri: str, retell_url: str, environ: Mapping[str, str]) -> list[str]:
    """One line for each named file that cannot be read, or does not hold what it should.

    Args:
        mongo_uri: ``MONGO_URI``; its options ``tlsCAFile``, ``tlsCRLFile`` and ``tlsCertificateKeyFile``.
        retell_url: ``RETELL_BASE_URL``; only over https are certificates needed.
        environ: may name a bundle of certificates for Retell, or a directory of them.
    """
    return [*_mongo_faults(mongo_uri), *_retell_faults(retell_url, environ)]


def _mongo_faults(uri: str) -> Iterator[str]:
    if not uri.startswith("mongodb"):
        return
    pairs = [option.partition("=") for option in re.split("[&;]", uri.partition("?")[2])]
    options = {name.lower(): (name, unquote_plus(value)) for name, _, value in pairs}
    _, password = options.get("tlscertificatekeyfilepassword", ("", ""))
    checks: dict[str, tuple[Callable[[str], None], str]] = {
        "tlscafile": (_load_certificates, say("a PEM file with certificates")),
        "tlscrlfile": (_load_certificates, say("a PEM file with revocation lists")),
        "tlscertificatekeyfile": (
            lambda path: _load_key(path, password),
            say(
                "a PEM file with a certificate and its private key; tlsCertificateKeyFilePassword"
                " opens the key"
            ),
        ),
    }
    for key, (load, allowed) in checks.items():
        if key in options:
            name, path = options[key]
            fault = _fault(path, load)
            if fault is not None:
                yield say(
                    "MONGO_URI: {name}={path} {fault}; allowed: {allowed}",
                    name=name,
                    path=path,
                    fault=fault,
                    allowed=allowed,
                )


def _retell_faults(url: str, environ: Mapping[str, str]) -> Iterator[str]:
    variable = next((name for name in CA_VARIABLES if environ.get(name)), None)
    if variable is None or not url.lower().startswith("https:") or Path(environ[variable]).is_dir():
        return
    fault = _fault(environ[variable], _load_certificates)
    if fault is not None:
        yield say(
            "{variable}={environ} {fault}; allowed: a PEM file with certificates, or a directory",
            variable=variable,
            environ=environ[variable],
            fault=fault,
        )


def _fault(path: str, load: Callable[[str], None]) -> str | None:
    """Why a file cannot be used, as the end of a sentence; None where it can."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return say("is not a file")
        load(path)
    except ssl.SSLError:  # an OSError, whose text quotes lines of OpenSSL's source
        return say("is not of that kind")
    except OSError as exc:
        return say("cannot be read ({strerror})", strerror=system_fault(exc))
    except ValueError:  # a NUL in the path
        return say("is not a path")
    return None


def _load_certificates(path: str) -> None:
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)


def _load_key(path: str, password: str) -> None:
    """Load it; without a password given, OpenSSL would ask for one at the terminal."""
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path, password=lambda: password)
