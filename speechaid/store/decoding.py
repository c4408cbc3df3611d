"""How documents of other programs are decoded: one strange value must not cost the whole document.

MongoDB stores texts that are not UTF-8, and dates that no ``datetime`` holds; by default the driver raises
on either, and with it on everything that the same answer holds.
"""

from __future__ import annotations

import codecs
from typing import Any, Final

from bson.codec_options import CodecOptions, DatetimeConversion

from speechaid.model.reading import UNREADABLE

_HANDLER: Final = "speechaid.unreadable"


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Replace bytes that are not UTF-8 by the mark: the text can be stored and shown, and is recognised."""
    assert isinstance(error, UnicodeDecodeError)  # noqa: S101 - nothing is encoded with it
    return UNREADABLE * (error.end - error.start), error.end


codecs.register_error(_HANDLER, _mark)

#: Dates outside of ``datetime``'s years become ``bson.DatetimeMS``, which compares and encodes as stored.
LENIENT: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    tz_aware=True,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler=_HANDLER,
)
