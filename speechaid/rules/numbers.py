"""Reads phone numbers as people write them, and says which spellings are one line. Pure: no I/O, no clock.

A number is *valid* where the numbering plan of its country has it, by the metadata of ``phonenumbers``; it
is only *possible* where nothing but its length fits. Spellings that people use and no plan has (Chile's
``09``, Mexico's ``044`` and ``+52 1``, Brazil's mobiles of eight digits) stand in one table, ``SPELLINGS``: a
rule of it counts only where its result is valid.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final

import phonenumbers

from speechaid.protocol.translation import say_later
from speechaid.rules import numbering_plans

#: No number with its note is longer; a longer text is no number.
MAX_CHARACTERS: Final = 80
#: A cell with several numbers is read up to here.
MAX_CELL_CHARACTERS: Final = 1_000
#: ITU-T E.164: at most 15 digits. National numbers of fewer than six are services, not people.
_MIN_DIGITS: Final = 6


class Fault(StrEnum):
    """Why a text is not read as a phone number; the value is the sentence for people."""

    EMPTY = "there is no number"
    ROUNDED = "a spreadsheet has rounded this number: format the column as text, and enter the number again"
    NATIONAL_ID = "this looks like a RUT, not like a phone number"
    DATE = "this looks like a date, not like a phone number"
    EXTENSION = "a number with an extension cannot be dialled"
    NOT_TO_BE_CALLED = "the note behind the number says that it is not to be called"
    LETTERS = "letters stand inside the number"
    TOO_LONG = "the text is too long for a phone number"
    TOO_SHORT = "too few digits for a phone number"
    SEVERAL = "digits stand behind the number: write each number in a cell of its own, or put a comma between"
    NO_COUNTRY = "the number has no country code, and no country is known"
    NO_PLUS = "this may be a number of another country: write + before its country code"
    NOT_OF_THE_PLAN = "no country has such a number"


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number that was read."""

    #: E.164.
    e164: str
    #: ISO 3166 alpha-2 of the number's own country; None where several share the code and none has it.
    country: str | None
    #: The digits behind the country code.
    national: str
    #: Whether the numbering plan has it; otherwise only its length fits.
    is_valid: bool
    #: ``mobile``, ``landline``, ``service`` (toll-free, shared cost, premium: no person), or ``unknown``
    #: (also where a plan does not tell them apart).
    kind: str
    #: What was assumed beyond the plain reading, or None.
    assumed: str | None = None
    #: The words behind or before the number, as written, or None.
    note: str | None = None


@dataclass(frozen=True)
class Spelling:
    """A way of writing that the numbering plan does not have."""

    #: Of the digits behind the plus sign, country code included; matched as a whole.
    digits: re.Pattern[str]
    #: The digits as the plan has them.
    becomes: str
    #: What is assumed, or None where the spelling has one meaning only.
    assumed: str | None = None


def _spelling(digits: str, becomes: str, assumed: str | None = None) -> Spelling:
    return Spelling(re.compile(digits), becomes, assumed)


#: By country code. Sources: the plans' changes as the ITU lists them (Operational Bulletin, "National
#: numbering plans"): Mexico 3 August 2019 (01, 044, 045 and the 1 behind 52 went), Brazil 2012 to 2016
#: (ninth digit of mobiles, Anatel resolution 553), Colombia 1 September 2021 (60 before the area), Argentina
#: (0, 15 and 9).
SPELLINGS: Final[dict[str, tuple[Spelling, ...]]] = {
    "52": (_spelling(r"52(?:1|01|044|045)(\d{10})", r"52\1"),),
    "54": (
        _spelling(r"549?0?(\d{2,4})15(\d{6,8})", r"549\1\2"),
        _spelling(r"5490(\d{10})", r"549\1"),
    ),
    "55": (
        _spelling(
            r"55(?:0?\d\d)?0?([1-9]\d)([6-9]\d{7})",
            r"55\g<1>9\2",
            say_later("the ninth digit of a mobile number"),
        ),
        _spelling(r"550?\d\d([1-9]\d9?\d{8})", r"55\1"),
    ),
    "57": (
        _spelling(r"57(?:0?3)(3\d{9})", r"57\1"),
        _spelling(r"570?([1-8]\d{7})", r"5760\1", say_later("the 60 of landlines since 2021")),
    ),
}
#: A trunk zero behind the country code: it belongs to no number of these countries (it does in Italy).
_TRUNK_ZERO: Final = re.compile(r"(5[1-9]|50[1-9]|59[1-8])0{1,2}(\d+)")

#: The code of such a country, in E.164.
_TRUNK_CODE: Final = re.compile(r"\+(?:5[1-9]|50[1-9]|59[1-8])")

#: By the first digits: spellings that are valid, or were, beside the one that stands for the line.
LINES: Final[dict[str, tuple[Spelling, ...]]] = {
    "54": (_spelling(r"549(\d{10})", r"54\1"),),
    # Numbers of eight digits that begin with 7 are still valid; no other subscriber got them with a 9 before.
    "55": (_spelling(r"55(\d\d)([6-9]\d{7})", r"55\g<1>9\2"),),
}


@dataclass(frozen=True)
class OtherForms:
    """The other forms of a line, from its digits."""

    digits: re.Pattern[str]
    #: A call can be placed with these, or could before a change of the plan.
    dialled: tuple[str, ...]
    #: Versions up to 0.2 read these where people wrote a prefix that belongs to no number.
    misread: tuple[str, ...] = ()


#: The reverse of ``SPELLINGS`` and ``LINES``, by the first digits.
OTHER_FORMS: Final[dict[str, tuple[OtherForms, ...]]] = {
    "52": (OtherForms(re.compile(r"52(\d{10})"), (r"521\1",)),),
    "54": (OtherForms(re.compile(r"54(\d{10})"), (r"549\1",)),),
    "55": (OtherForms(re.compile(r"55(\d\d)9([6-9]\d{7})"), (r"55\1\2",)),),
    "57": (
        OtherForms(re.compile(r"5760([1-8]\d{7})"), (r"57\1",)),
        OtherForms(re.compile(r"57(3\d{9})"), (), (r"573\1",)),
    ),
}

_DIGITS_ONLY: Final = re.compile(r"\d+")
_SCIENTIFIC: Final = re.compile(
    r"(?P<first>\d)(?:[.,](?P<decimals>\d+))?e\+?(?P<exponent>\d{1,3})", re.IGNORECASE
)
_SCIENTIFIC_ASSUMED: Final = say_later("a spreadsheet wrote the number in scientific form, with all digits")
#: Hours behind a number: ``(9-18 hrs)``, ``(de 9:00 a 18:00)``.
#: Few blanks each, so that a cell full of them is read in linear time.
_HOURS: Final = re.compile(
    r"[(\[](?P<hours>\s{0,3}(?:[^\W\d]{1,12}\s{1,3}){0,3}\d{1,2}(?:[:.]\d{2})?\s{0,3}(?:h|hs|hrs|am|pm)?\s{0,3}(?:-|a|y|to)\s{0,3}"
    r"\d{1,2}(?:(?:[:.]\d{2})\s{0,3}|\s{0,3}(?=[hap]))(?:h|hs|hr|hrs|horas|hours|am|pm)?\.?)\s{0,3}[)\]]$",
    re.IGNORECASE,
)
_DECIMAL_ZERO: Final = re.compile(r"(\+?\d{7,15})[.,]0{1,2}")
_THOUSANDS: Final = re.compile(r"\+?\d{1,3}(?:,\d{3}){2,4}")
_RUT: Final = re.compile(r"(?:\d{1,2}\.\d{3}\.\d{3}|\d{7,8})-[\dkK]")
#: As sheets and programs write it; nobody separates a number of eight digits so.
_DATE: Final = re.compile(
    r"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])(?:[ T]\d\d:\d\d(?::\d\d)?)?"
)
_RUT_WITH_DOTS: Final = re.compile(r"\d{1,2}\.\d{3}\.\d{3}-?[\dkK]")
#: The number's own characters: digits, and what people put between them.
_RUN: Final = re.compile(r"\(?\+?[\d\s().\-\u2010-\u2015/\u2212]*\d")
#: Digits with single blanks between them, enough of them for a number and no more than its text may have.
_PLAIN_RUN: Final = re.compile(rf"\+?[0-9](?: ?[0-9]){{{_MIN_DIGITS - 1},30}}")
#: The same anywhere in a text; what it takes begins with a digit, so that it is found in one pass.
_RUN_INSIDE: Final = re.compile(r"[+(]{0,2}\d[\d\s().\-\u2010-\u2015/\u2212]*")
_LABEL: Final = re.compile(r"[^\d+(]{0,30}")
#: Chile's plan does not tell mobiles from landlines since 2016, but its people do: mobiles begin with 9.
_CHILEAN_MOBILE: Final = "+569"
#: Marks that programs and people put around a number: straight, typographic, and the accents typed for them.
_QUOTES: Final = "\"'`\u00b4\u2018\u2019\u201c\u201d"
_TEL: Final = re.compile(r"(?:tel|callto|whatsapp):\s*", re.IGNORECASE)
#: A link that opens a chat: its number is international, and needs no plus.
_CHAT_LINK: Final = re.compile(
    r"(?:https?://)?(?:wa\.me/|(?:api|web)\.whatsapp\.com/send/?\?phone=)\+?(\d{7,15})(?:[/?&]\S*)?",
    re.IGNORECASE,
)
_EXTENSION_WORDS: Final = frozenset(
    {"ext", "extension", "anexo", "anx", "interno", "int", "ramal", "x", "opc", "opcion"}
)
#: A note with one of these (lower case, no accents) forbids the number. An owner of a list writes such notes.
FORBIDDING_NOTES: Final = (
    "no llamar",
    "no contactar",
    "no molestar",
    "no es",
    "no corresponde",
    "no pertenece",
    "no existe",
    "equivocad",
    "errone",
    "incorrect",
    "fallecid",
    "difunt",
    "do not call",
    "dnc",
    "wrong",
    "deceased",
    "nao ligar",
    "errado",
    "falecid",
)
_SEQUENCES: Final = ("1234567890", "9876543210", "912345678")
#: Marks that stand between two numbers of one cell.
_BETWEEN: Final = re.compile(r"[;|\n,/]|:::|\s(?:-|[yoe&]|or|and)\s", re.IGNORECASE)
_HALVES: Final = re.compile(r"\s*-\s*|\s+")
_KINDS: Final = {
    phonenumbers.PhoneNumberType.MOBILE: "mobile",
    phonenumbers.PhoneNumberType.FIXED_LINE: "landline",
    phonenumbers.PhoneNumberType.TOLL_FREE: "service",
    phonenumbers.PhoneNumberType.SHARED_COST: "service",
    phonenumbers.PhoneNumberType.PREMIUM_RATE: "service",
    phonenumbers.PhoneNumberType.UAN: "service",
    phonenumbers.PhoneNumberType.VOICEMAIL: "service",
}


@lru_cache(maxsize=8192)
def read(text: str, country: str | None) -> Number | Fault:
    """Read one phone number.

    Args:
        text: as written: national or international form, with the decorations of spreadsheets and a note.
        country: ISO 3166 alpha-2 in any case, for national forms; None: unknown.

    Returns:
        The number, valid or only possible, or why it is none. A valid reading is preferred to a possible one.
    """
    region = country.strip().upper() if country else None
    if _PLAIN_RUN.fullmatch(text):  # most numbers of a file: nothing to take off, and no note
        return _read_run(text, region, None)
    plain = _undecorated(text)
    if (fault := _fault(plain)) is not None:
        return fault
    hours = _HOURS.search(plain) if plain.endswith((")", "]")) else None
    run, note = _split_note(plain if hours is None else plain[: hours.start()].rstrip())
    if run is None:
        return Fault.LETTERS
    if sum(map(str.isdecimal, run)) < _MIN_DIGITS:
        return Fault.LETTERS if note else Fault.TOO_SHORT
    fault = None if note is None else _fault_of_note(note)
    if fault is not None:
        return fault
    if hours is not None:
        note = " ".join(filter(None, (note, hours["hours"].strip())))
    found = _read_run(run, region, note)
    if isinstance(found, Number) and _exact_digits(text.strip()) is not None:
        found = replace(found, assumed=_SCIENTIFIC_ASSUMED)
    return found


def read_cell(text: str, country: str | None) -> list[tuple[str, Number | Fault]]:
    """Read a cell that may hold several numbers; each part comes with its reading, in the cell's order."""
    whole = read(text, country)
    if whole is Fault.EMPTY:
        return []
    if whole is not Fault.NOT_TO_BE_CALLED and not (isinstance(whole, Number) and whole.is_valid):
        parts = [part.strip() for part in _BETWEEN.split(text[:MAX_CELL_CHARACTERS])]
        found = [(part, read(part, country)) for part in parts if part]
        if any(isinstance(reading, Number) and reading.is_valid for _, reading in found):
            return found
        # Two whole numbers with a blank or a dash between.
        found = [(part, read(part, country)) for part in _HALVES.split(text.strip(), maxsplit=2)]
        if len(found) == 2 and all(isinstance(reading, Number) and reading.is_valid for _, reading in found):
            return found
    return [(text.strip(), whole)]


def read_opt_out(text: str, countries: Sequence[str | None]) -> list[Number]:
    """Read what somebody wrote who is not to be called: no note and no doubt about its form refuses it.

    Returns:
        The numbers in order, valid ones where the text is valid in the first country. Otherwise each number
        as which a job with this text could be dialled in any of the countries. Empty: no job could be dialled
        with it, so there is nothing to list (``read`` says why it is no number).
    """
    found: dict[str, Number] = {}
    for part, reading in read_cell(text, countries[0] if countries else None):
        if isinstance(reading, Number) and reading.is_valid:
            found.setdefault(reading.e164, reading)
        elif reading not in (Fault.ROUNDED, Fault.NATIONAL_ID):
            for number in _possible_numbers(part, countries):
                found.setdefault(number.e164, number)
    return list(found.values())


def _possible_numbers(text: str, countries: Sequence[str | None]) -> list[Number]:
    """The numbers that digits anywhere in the text can be."""
    plain = _undecorated(text)
    found: list[Number] = []
    for parts in ([plain, *_BETWEEN.split(plain)], plain.split()):
        runs = dict.fromkeys(match[0] for part in parts for match in _RUN_INSIDE.finditer(part))
        found += [number for run in runs for number in _numbers_of_run(run, countries)]
        if found:
            break
    return found


def _numbers_of_run(run: str, countries: Sequence[str | None]) -> list[Number]:
    digits = "".join(_DIGITS_ONLY.findall(run))
    if len(digits) < _MIN_DIGITS:
        return []
    readings = [_read_run(run, country.strip().upper() if country else None, None) for country in countries]
    abroad = _number(digits, None, None)
    if abroad is not None and abroad.is_valid:
        readings.append(abroad)
    numbers = [reading for reading in readings if isinstance(reading, Number)]
    is_certain = bool(numbers) and numbers[0] is readings[0] and numbers[0].is_valid
    return numbers[:1] if is_certain else numbers


@lru_cache(maxsize=8192)
def line_identity(e164: str) -> str:
    """The line that a number leads to: equal for every spelling that reaches the same subscriber.

    Mexico's 1 is mended by reading; Argentina's 9 only says that the line is a mobile, the subscriber's
    number is unique without it; Brazil's ninth digit was put before every mobile number.

    Args:
        e164: a number with its country code, also one that was stored under older rules; any other text is
            its own identity.
    """
    number = read(e164, None)
    return line_of(number) if isinstance(number, Number) else _line(e164)


def line_of(number: Number) -> str:
    """As ``line_identity``, of a number that has just been read."""
    return _line(number.e164)


def _line(e164: str) -> str:
    digits = e164.removeprefix("+")
    for rule in LINES.get(digits[:2], ()):
        if rule.digits.fullmatch(digits):
            return "+" + rule.digits.sub(rule.becomes, digits)
    return e164


@lru_cache(maxsize=8192)
def country_of_number(e164: str) -> str | None:
    """The country of a number, ISO 3166 alpha-2; None: it tells none, as numbers of satellites."""
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(e164))
    except phonenumbers.NumberParseException:
        return None
    return region if region in phonenumbers.SUPPORTED_REGIONS else None


def dialled_spellings(e164: str) -> tuple[str, ...]:
    """The numbers that a call to this line can be placed with, in a fixed order; most lines have one.

    The do-not-call list has an entry for each: a daemon of an older version looks up only the number that it
    is about to dial.
    """
    return _spelled(e164)[0]


def all_spellings(e164: str) -> tuple[str, ...]:
    """Every form under which this line may have been listed, or dialled, by any version.

    Beside ``dialled_spellings`` these are misreadings of versions up to 0.2, which kept a trunk zero behind
    the country code. Whoever compares a number with stored ones compares all of these.
    """
    dialled, misread = _spelled(e164)
    return dialled + misread


@lru_cache(maxsize=8192)
def _spelled(e164: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    line = line_identity(e164)
    digits = line.removeprefix("+")
    rules = [rule for rule in OTHER_FORMS.get(digits[:2], ()) if rule.digits.fullmatch(digits)]
    dialled = dict.fromkeys(
        [line, *("+" + rule.digits.sub(form, digits) for rule in rules for form in rule.dialled)]
    )
    misread = ["+" + rule.digits.sub(form, digits) for rule in rules for form in rule.misread]
    for number in dialled:
        if (code := _TRUNK_CODE.match(number)) is not None:
            misread += [f"{code[0]}{zeros}{number[code.end() :]}" for zeros in ("0", "00")]
    kept = dict.fromkeys(form for form in misread if _is_possible(form))
    # A form that no rule makes is looked up as it is, too.
    asked = {} if e164 in dialled else {e164: None}
    return tuple(dialled), tuple(kept | asked)


def _is_possible(e164: str) -> bool:
    """Whether a version up to 0.2 took this for a number: it compared nothing but lengths."""
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(e164))
    except phonenumbers.NumberParseException:
        return False


def is_valid(e164: str) -> bool:
    """Whether the numbering plan of its country has the number."""
    number = read(e164, None)
    return isinstance(number, Number) and number.is_valid


def is_placeholder(number: Number) -> bool:
    """Whether the number is one that people type to fill a field: 999999999, 123456789, 912345678."""
    national = number.national.lstrip("0")
    return len(set(national[-7:])) == 1 or any(national in sequence for sequence in _SEQUENCES)


def _undecorated(text: str) -> str:
    """Without what programs put around a number: ``'+56…``, ``="…"``, ``tel:``, ``.0``, thousands' commas."""
    cut = text.strip()[: MAX_CHARACTERS * 2]
    # Digits and plus signs of other scripts are what they look like; a superscript (9²) is no digit.
    plain = cut if cut.isascii() else _in_ascii_digits(cut)
    plain = plain.replace("\uff0b", "+").strip()
    plain = plain.removeprefix("=").strip().strip(_QUOTES).strip()
    if ":" in plain or "/" in plain:
        link = _CHAT_LINK.fullmatch(plain)
        plain = _TEL.sub("", plain, count=1) if link is None else f"+{link[1]}"
    if match := _DECIMAL_ZERO.fullmatch(plain):
        return match[1]
    if (exact := _exact_digits(plain)) is not None:
        return exact
    return plain.replace(",", "") if _THOUSANDS.fullmatch(plain) else plain


def _exact_digits(plain: str) -> str | None:
    """The digits of a number in scientific form that shows each of them; None for every other text."""
    match = _SCIENTIFIC.fullmatch(plain)
    if match is None or len(match["decimals"] or "") != int(match["exponent"]):
        return None
    return match["first"] + match["decimals"]


def _in_ascii_digits(text: str) -> str:
    return "".join(str(int(c)) if c.isdecimal() else c for c in text if unicodedata.category(c) != "Cf")


def _fault(plain: str) -> Fault | None:
    if not plain:
        return Fault.EMPTY
    if len(plain) > MAX_CHARACTERS:
        return Fault.TOO_LONG
    if _SCIENTIFIC.fullmatch(plain):
        return Fault.ROUNDED
    if _RUT_WITH_DOTS.fullmatch(plain) or (_RUT.fullmatch(plain) and _has_rut_digit(plain)):
        return Fault.NATIONAL_ID
    return Fault.DATE if _DATE.fullmatch(plain) else None


def _has_rut_digit(plain: str) -> bool:
    body, _, check = plain.replace(".", "").partition("-")
    total = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(body)))
    return "0123456789K"[-total % 11] == check.upper()


def _split_note(plain: str) -> tuple[str | None, str | None]:
    """The number's characters, and the words around it; no characters where words stand inside."""
    label = _LABEL.match(plain)
    start = label.end() if label else 0
    run = _RUN.match(plain, start)
    if run is None:
        return None, None
    before, behind = plain[:start].strip(" :.-"), plain[run.end() :]
    touching = behind[:1].isalpha() or (start > 0 and plain[start - 1].isalpha())
    if touching or behind.strip().startswith("+"):
        return None, None
    note = " ".join(filter(None, (before, behind.strip(" ()[]:.,-")))) or None
    return run[0], note


def _fault_of_note(note: str) -> Fault | None:
    folded = "".join(
        c for c in unicodedata.normalize("NFKD", note.casefold()) if not unicodedata.combining(c)
    )
    words = re.findall(r"[a-z]+", folded)
    if any(forbidding in " ".join(words) for forbidding in FORBIDDING_NOTES):
        return Fault.NOT_TO_BE_CALLED
    if _EXTENSION_WORDS & set(words) or "#" in note:
        return Fault.EXTENSION
    return Fault.SEVERAL if any(character.isdecimal() for character in note) else None


def _read_run(run: str, country: str | None, note: str | None) -> Number | Fault:
    region = country if country in phonenumbers.SUPPORTED_REGIONS else None
    possible: Number | None = None
    for digits, assumed in _candidates(run, region):
        number = _number(digits, assumed, note)
        if number is not None and number.is_valid:
            return number
        if possible is None and not _TRUNK_ZERO.fullmatch(digits):
            possible = number
    return possible or _fault_of_run(run, region)


def _fault_of_run(run: str, region: str | None) -> Fault:
    if _is_international(run):
        return Fault.NOT_OF_THE_PLAN
    elsewhere = _number("".join(_DIGITS_ONLY.findall(run)), None, None)
    if elsewhere is not None and elsewhere.is_valid:
        return Fault.NO_PLUS
    return Fault.NO_COUNTRY if region is None else Fault.NOT_OF_THE_PLAN


def _is_international(run: str) -> bool:
    return run.lstrip(" (").startswith("+") or "".join(_DIGITS_ONLY.findall(run)).startswith("00")


def _candidates(run: str, country: str | None) -> Iterator[tuple[str, str | None]]:
    """Readings as international digits, the plainest first: the first valid one counts."""
    digits = "".join(_DIGITS_ONLY.findall(run))
    if run.lstrip(" (").startswith("+"):
        # ``(0)`` behind a country code is the trunk zero of the national form.
        yield from _spelt("".join(_DIGITS_ONLY.findall(run.replace("(0)", ""))))
        return
    if digits.startswith("00"):
        yield from _spelt(digits.lstrip("0"))
    if country is None:
        return
    by_library = _library(digits, country)
    if by_library is not None:
        yield by_library, None
    code = str(phonenumbers.country_code_for_region(country))
    yield from _spelt(code + digits)
    if digits.startswith(code):
        yield from _spelt(digits)


def _spelt(digits: str) -> Iterator[tuple[str, str | None]]:
    """The digits as they are, and as each spelling reads them."""
    rewritten = [
        (spelling.digits.sub(spelling.becomes, digits), spelling.assumed)
        for code in (digits[:1], digits[:2], digits[:3])
        for spelling in SPELLINGS.get(code, ())
        if spelling.digits.fullmatch(digits)
    ]
    trunk = _TRUNK_ZERO.fullmatch(digits)
    if trunk is not None:
        yield from _spelt(trunk[1] + trunk[2])
    yield digits, None
    yield from rewritten


def _library(digits: str, country: str) -> str | None:
    found = numbering_plans.with_country_code(digits, country)
    if found is not None:
        return found
    try:
        parsed = phonenumbers.parse(digits, country)
    except phonenumbers.NumberParseException:
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def _number(digits: str, assumed: str | None, note: str | None) -> Number | None:
    found = numbering_plans.describe(digits)
    # Some lengths are possible only within a city: Retell cannot dial them.
    if found is None or not found.is_possible:
        return None
    e164 = f"+{found.code}{found.national}"
    kind = _KINDS.get(found.type, "unknown")
    if kind == "unknown" and e164.startswith("+56"):
        kind = "mobile" if e164.startswith(_CHILEAN_MOBILE) else "landline"
    return Number(
        e164=e164,
        country=found.country,
        national=found.national,
        is_valid=found.type != phonenumbers.PhoneNumberType.UNKNOWN,
        kind=kind,
        assumed=assumed,
        note=note,
    )
