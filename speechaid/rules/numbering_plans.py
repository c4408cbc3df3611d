"""The numbering plans of ``phonenumbers``, applied to bare digits by patterns compiled once. Pure.

A file of 50,000 contacts has 150,000 numbers. The library takes 0.1 ms to parse one, and 0.1 to describe
it, since it looks for extensions, letters and other scripts, which bare digits do not have. What is read
here is what the library reads: property tests compare the two for every country.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberType

#: Digits of the longest country code, and of a number behind it, as the library reads them.
_CODE_DIGITS: Final = 3
_FEWEST_DIGITS: Final = 2
_MOST_DIGITS: Final = 17
#: The metadata's kinds of number in the order in which the library tries them.
_SPECIAL_KINDS: Final = {
    "premium_rate": PhoneNumberType.PREMIUM_RATE,
    "toll_free": PhoneNumberType.TOLL_FREE,
    "shared_cost": PhoneNumberType.SHARED_COST,
    "voip": PhoneNumberType.VOIP,
    "personal_number": PhoneNumberType.PERSONAL_NUMBER,
    "pager": PhoneNumberType.PAGER,
    "uan": PhoneNumberType.UAN,
    "voicemail": PhoneNumberType.VOICEMAIL,
}
#: What the library calls the country of codes that no country has, such as 800.
_NO_COUNTRY: Final = "001"
_NEVER: Final = r"(?!)"


@dataclass(frozen=True, slots=True)
class Described:
    """What the numbering plans say of the digits behind a plus sign."""

    #: The country code, and the number behind it without a prefix of domestic calls.
    code: str
    national: str
    #: ISO 3166 alpha-2, ``001`` for codes of no country; None where several share the code and none has it.
    country: str | None
    #: Of ``phonenumbers.PhoneNumberType``; ``UNKNOWN``: the plan does not have the number.
    type: int
    #: Whether the length is that of a whole number; some are possible only within a city.
    is_possible: bool


def describe(digits: str) -> Described | None:
    """What ``parse`` of the library makes of a plus sign and these digits, and says of the result.

    Args:
        digits: ASCII digits with the country code.

    Returns:
        None where it raises.
    """
    plans = _plans_of(digits)
    if not plans:
        return None
    main = plans[0]
    behind = digits[len(main.code) :]
    national = main.without_prefix(behind)
    if len(behind) < _FEWEST_DIGITS or not _FEWEST_DIGITS <= len(national) <= _MOST_DIGITS:
        return None
    plan = main if len(plans) == 1 else next((plan for plan in plans if plan.owns_number(national)), None)
    return Described(
        code=main.code,
        national=national,
        country=None if plan is None else plan.country,
        type=PhoneNumberType.UNKNOWN if plan is None else plan.type_of(national),
        is_possible=len(national) in main.lengths,
    )


def with_country_code(digits: str, country: str) -> str | None:
    """National digits with their country code, as ``parse`` of the library makes them for a country.

    Args:
        digits: ASCII digits as they are dialled in the country.
        country: ISO 3166 alpha-2, one that the library has.

    Returns:
        None where the digits may begin with an international prefix: the library has to be asked.
    """
    plan = _plan(country)
    if plan.abroad.match(digits) or not _FEWEST_DIGITS <= len(digits) <= _MOST_DIGITS:
        return None
    national = plan.without_prefix(plan.without_code(digits))
    return plan.code + national if len(national) >= _FEWEST_DIGITS else None


class _Plan:
    """The numbering plan of one country, or of a country code that is no country's."""

    def __init__(self, metadata: Any) -> None:
        general = metadata.general_desc
        self.code = str(metadata.country_code)
        self.country: str = metadata.id
        self.lengths = frozenset(general.possible_length) - frozenset(general.possible_length_local_only)
        self.abroad = re.compile(metadata.international_prefix or _NEVER)
        self._longest: int = general.possible_length[-1]
        self._prefix = re.compile(metadata.national_prefix_for_parsing or _NEVER)
        self._becomes: str = metadata.national_prefix_transform_rule or ""
        self._leading = None if metadata.leading_digits is None else re.compile(metadata.leading_digits)
        self._general = _Kind(general)
        self._special = [
            (_Kind(getattr(metadata, name)), number_type)
            for name, number_type in _SPECIAL_KINDS.items()
            if getattr(metadata, name) is not None
        ]
        self._fixed_line = _Kind(metadata.fixed_line)
        self._mobile = _Kind(metadata.mobile)
        self._is_one_pattern: bool = metadata.same_mobile_and_fixed_line_pattern

    def without_code(self, digits: str) -> str:
        """The digits without the country's own code, where they are no number with it."""
        if not digits.startswith(self.code):
            return digits
        rest = self._stripped(digits[len(self.code) :])
        is_one_without = self._general.fits_pattern(rest) and not self._general.fits_pattern(digits)
        return rest if is_one_without or len(digits) > self._longest else digits

    def without_prefix(self, national: str) -> str:
        """The number without the prefix of domestic calls, where a whole number is left."""
        rest = self._stripped(national)
        return rest if len(rest) in self.lengths or len(rest) > self._longest else national

    def _stripped(self, national: str) -> str:
        match = self._prefix.match(national)
        if match is None:
            return national
        is_rewritten = bool(self._becomes) and match[match.re.groups] is not None
        rest = (match.expand(self._becomes) if is_rewritten else "") + national[match.end() :]
        return (
            national
            if self._general.fits_pattern(national) and not self._general.fits_pattern(rest)
            else rest
        )

    def owns_number(self, national: str) -> bool:
        """Whether this country has the number, among those that share its code."""
        if self._leading is not None:
            return self._leading.match(national) is not None
        return self.type_of(national) != PhoneNumberType.UNKNOWN

    def type_of(self, national: str) -> int:
        """The ``PhoneNumberType`` of a number; ``UNKNOWN``: the plan does not have it."""
        if not self._general.has_number(national):
            return PhoneNumberType.UNKNOWN
        for kind, number_type in self._special:
            if kind.has_number(national):
                return number_type
        if self._fixed_line.has_number(national):
            is_either = self._is_one_pattern or self._mobile.has_number(national)
            return PhoneNumberType.FIXED_LINE_OR_MOBILE if is_either else PhoneNumberType.FIXED_LINE
        is_mobile = not self._is_one_pattern and self._mobile.has_number(national)
        return PhoneNumberType.MOBILE if is_mobile else PhoneNumberType.UNKNOWN


class _Kind:
    """One kind of number of a plan."""

    def __init__(self, description: Any) -> None:
        pattern = None if description is None else description.national_number_pattern
        self._fullmatch = re.compile(pattern or _NEVER).fullmatch
        self._lengths = frozenset(() if description is None else description.possible_length)

    def fits_pattern(self, national: str) -> bool:
        """Whether the pattern has the number."""
        return self._fullmatch(national) is not None

    def has_number(self, national: str) -> bool:
        """Whether pattern and lengths have the number."""
        return (not self._lengths or len(national) in self._lengths) and self.fits_pattern(national)


def _plans_of(digits: str) -> tuple[_Plan, ...]:
    """The plans of the country code that the digits begin with, the main one first."""
    for end in range(1, _CODE_DIGITS + 1):
        plans = _plans(digits[:end])
        if plans:
            return plans
    return ()


@cache
def _plans(code: str) -> tuple[_Plan, ...]:
    if not code or code.startswith("0"):
        return ()
    countries = COUNTRY_CODE_TO_REGION_CODE.get(int(code), ())
    if _NO_COUNTRY in countries:
        return (_Plan(PhoneMetadata.metadata_for_nongeo_region(int(code))),)
    return tuple(_plan(country) for country in countries)


@cache
def _plan(country: str) -> _Plan:
    return _Plan(PhoneMetadata.metadata_for_region(country))
