"""Recognises files that are no table, by how they begin, and says what they are. Pure."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Final

from speechaid.protocol.translation import say, say_later

_SAVE: Final = say_later("open it in the spreadsheet program and save it as XLSX or CSV")
#: How a file begins (in lower case, without blanks before), and what it is, with what to do.
_BEGINNINGS: Final = (
    (rb"%pdf", say_later("a PDF, which has no rows: export the table again, as XLSX or CSV")),
    (rb"\x89png|\xff\xd8\xff|gif8", say_later("a picture: export the table itself, as XLSX or CSV")),
    (rb"7z\xbc\xaf\x27\x1c|rar!", say_later("a compressed file: unpack it first")),
    (
        rb"<!doctype html|<html|<table|<body|<meta",
        say_later("a web page, as programs name .xls: {SAVE}", SAVE=_SAVE),
    ),
    (rb"mime-version:", say_later("a web archive, as programs name .xls: {SAVE}", SAVE=_SAVE)),
    (rb"<\?xml|<workbook", say_later("XML, as Excel 2003 and LibreOffice write it: {SAVE}", SAVE=_SAVE)),
    (rb"\{\\rtf", say_later("a text document (RTF): {SAVE}", SAVE=_SAVE)),
    (rb"id;p|table\r?\n0,1", say_later("an old exchange format (SYLK, DIF): {SAVE}", SAVE=_SAVE)),
    (rb"begin:vcard", say_later("a file of contact cards (vCard): export the contacts as CSV")),
    (rb"\[\s*[\[{]|\{\s*\"", say_later("JSON, which is for programs: {SAVE}", SAVE=_SAVE)),
)
_PATTERNS: Final = tuple((re.compile(pattern), what) for pattern, what in _BEGINNINGS)
#: A member of an archive, and what the archive is.
_MEMBERS: Final = (
    ("index/document.iwa", say_later("a document of Apple Numbers: export it as Excel or CSV")),
    (
        "word/document.xml",
        say_later("a document of Word: copy the table into a spreadsheet, and save it as XLSX"),
    ),
    (
        "ppt/presentation.xml",
        say_later("a presentation: copy the table into a spreadsheet, and save it as XLSX"),
    ),
)
_SPREADSHEETS: Final = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")
_OLE: Final = b"\xd0\xcf\x11\xe0"
#: The stream of an encrypted workbook (MS-OFFCRYPTO 1.3.1).
_ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
_LOOKED_AT: Final = 512


def unsupported_type(data: bytes) -> str | None:
    """What the file is, and what to do, in words; None where it may be a table."""
    if data.startswith(_OLE):
        protected = say("a workbook that is protected with a password: save it without one")
        return protected if _ENCRYPTED in data else None
    if data.startswith(b"PK\x03\x04"):
        return _archive(data)
    begins = data[:_LOOKED_AT].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((what for pattern, what in _PATTERNS if pattern.match(begins)), None)


def _archive(data: bytes) -> str | None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = {name.lower() for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError):
        return None
    found = next((what for member, what in _MEMBERS if member in names), None)
    if found is not None or names & set(_SPREADSHEETS):
        return found
    return (
        None if any(name.startswith("xl/") for name in names) else say("a compressed file: unpack it first")
    )
