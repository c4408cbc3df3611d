"""Packs from files: the shipped ones are whole, and a fault is one sentence with file, field and remedy."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.compliance.pack_files import (
    MAX_BYTES,
    canonical_json,
    check_pack,
    content_hash,
    pack_in_force,
    pack_warnings,
    parse_file,
    shipped_packs,
)
from speechaid.compliance.packs import (
    Confidence,
    InvalidPack,
    Overlay,
    Pack,
    Reference,
)
from speechaid.model.states import Purpose

TODAY = date(2026, 11, 30)
COUNTRIES = ("AR", "CL", "CO", "EC", "MX", "PE", "PY")
DIRECTORY = files("speechaid") / "data" / "packs"
CL = (DIRECTORY / "CL-collection.toml").read_text(encoding="utf-8")
OVERLAY = 'kind = "overlay"\nformat = 1\ncountry = "CL"\npurpose = "collection"\n'
#: A pack of an operator's own, for a country without a shipped one.
UY = CL.replace('country = "CL"', 'country = "UY"').replace('calendar = "CL"', 'calendar = "UY"')
UY = UY[: UY.index('[[options]]\nname = "regional_holidays"')]


def faults(text: str, file: str = "mine.toml") -> tuple[str, ...]:
    found = parse_file(text.encode(), file)
    assert isinstance(found, InvalidPack), found
    return found.faults


class TestShipped:
    def test_there_is_a_pack_for_each_country_and_purpose(self) -> None:
        purposes = (Purpose.COLLECTION, Purpose.REMINDER)
        assert {*shipped_packs()} == {(country, purpose) for country in COUNTRIES for purpose in purposes}

    @pytest.mark.parametrize("key", shipped_packs(), ids=" ".join)
    def test_every_statement_has_sources_or_says_that_it_is_a_house_rule(
        self, key: tuple[str, Purpose]
    ) -> None:
        pack = shipped_packs()[key]
        assert {place for place, _ in pack.all_statements()} >= {"windows", "holidays"}
        for place, statement in pack.all_statements():
            if statement.confidence is Confidence.LOW:
                assert "house rule" in statement.says, place
            else:
                assert statement.sources, place
                assert pack.source_of(statement) != "house rule"

    def test_reminders_take_the_rules_of_collection_as_a_house_rule(self) -> None:
        for country in COUNTRIES:
            collection = shipped_packs()[country, Purpose.COLLECTION]
            reminder = shipped_packs()[country, Purpose.REMINDER]
            assert "house rule" in (reminder.remark or "")
            changed = {"purpose": Purpose.COLLECTION, "remark": collection.remark}
            assert reminder.model_copy(update=changed) == collection

    @pytest.mark.parametrize("key", shipped_packs(), ids=" ".join)
    def test_every_option_makes_the_pack_stricter(self, key: tuple[str, Purpose]) -> None:
        country, purpose = key
        for option in shipped_packs()[key].options:
            text = f'kind = "overlay"\nformat = 1\ncountry = "{country}"\npurpose = "{purpose}"\n'
            checked = check_pack(f'{text}options = ["{option.name}"]\n'.encode(), "mine.toml", TODAY)
            assert checked.pack is not None, checked.faults
            assert checked.pack.chosen == (option.name,)
            assert checked.content_hash != content_hash(shipped_packs()[key])

    def test_no_source_is_listed_that_no_statement_names(self) -> None:
        for pack in shipped_packs().values():
            named = {source for _, one in pack.all_statements() for source in one.sources}
            if pack.caller_numbers is not None:
                named |= {source for one in pack.caller_numbers.exemptions for source in one.sources}
            # Argentina's law of one city is a source of what is not covered.
            assert {*pack.sources} - named <= {"caba_6171"}


def test_equal_packs_have_equal_hashes_whatever_the_order_of_their_file() -> None:
    content: dict[str, Any] = tomllib.loads(CL)
    pack = parse_file(CL.encode(), "CL-collection.toml")
    assert isinstance(pack, Pack)
    turned = json.dumps(dict(reversed(content.items())), default=str)
    again = Pack.model_validate_json(turned, strict=True)
    assert content_hash(again) == content_hash(pack)
    assert content_hash(pack) == hashlib.sha256(canonical_json(pack).encode()).hexdigest()
    assert json.loads(canonical_json(pack))["windows"]["hours"][0]["end"] == "20:00"


@pytest.mark.parametrize("key", shipped_packs(), ids=" ".join)
def test_a_pack_survives_its_canonical_json(key: tuple[str, Purpose]) -> None:
    pack = shipped_packs()[key]
    assert Pack.model_validate_json(canonical_json(pack), strict=True) == pack


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("format = 1", "format = 2"), "format: 2; allowed: 1"),
        (('kind = "pack"', 'kind = "law"'), "kind: 'law'; allowed: pack, reference, overlay"),
        (('kind = "pack"\n', ""), "kind: it is missing; allowed: pack, reference, overlay"),
        (
            ('country = "CL"', 'country = "Chile"'),
            "country: 'Chile'; allowed: the ISO 3166 code of a country",
        ),
        (('purpose = "collection"', 'purpose = "debt"'), "purpose: 'debt'; allowed: collection, marketing"),
        (("reviewed = 2026-11-30\n", ""), "reviewed: it is missing; allowed: the day of the last review"),
        (("reviewed = 2026-11-30", "reviewed = 20261130"), "reviewed: 20261130; allowed: the day"),
        (
            ("reviewed = 2026-11-30", "reviewed = 2026-11-30T10:00:00"),
            "reviewed: datetime.datetime(2026, 11, 30, 10, 0)",
        ),
        (('"America/Punta_Arenas"', '"America/Nowhere"'), "zones: 'America/Nowhere' is no known zone"),
        (('start = "08:00"', 'start = "8am"'), "windows.hours.1.start: '8am'; allowed: a time as HH:MM"),
        (
            ('end = "20:00"', 'end = "25:00"'),
            "windows.hours.1.end: '25:00'; allowed: a time as HH:MM, at most",
        ),
        (('end = "20:00"', 'end = "07:00"'), "windows.hours.1: the start is before the end"),
        (("[1, 2, 3, 4, 5, 6]", "[1, 8]"), "windows.hours.1: days are numbers from 1 (Monday)"),
        (("[1, 2, 3, 4, 5, 6]", '["1"]'), "windows.hours.1.days.1: '1'; allowed: a list of days"),
        (("[1, 2, 3, 4, 5, 6]", "[]"), "windows.hours.1.days: []; allowed: a list of days"),
        (
            ('rule = "barred"', 'rule = "half"'),
            "holidays.rule: 'half'; allowed: barred, as_sunday or ignored",
        ),
        (('calendar = "CL"', 'calendar = "XX"'), "holidays: there are no holidays of the country XX"),
        (('["AP", "NB"]', '["ZZ"]'), "holidays: CL has no subdivision ZZ; allowed: AI, AN"),
        (('unit = "contact"', 'unit = "call"'), "caps.1.unit: 'call'; allowed: attempt, contact or"),
        (("number = 1", "number = 0"), "caps.1: a number of 0 would bar every call"),
        (("number = 1", "number = 1.0"), "caps.1.number: 1.0; allowed: a whole number from 0 to 1000"),
        (("number = 1", "number = true"), "caps.1.number: True; allowed: a whole number"),
        (("number = 1", "number = 1\nlength = 7"), "caps.1: length belongs to rolling_hours"),
        (("number = 1", 'number = 1\nspann = "day"'), "caps.1.spann: there is no such field; allowed: says"),
        (('span = "calendar_week"', 'span = "rolling_days"'), "caps.1: length belongs to rolling_hours"),
        (('confidence = "M"', 'confidence = "L"'), "windows: a statement of confidence L says that it is a"),
        (('sources = ["ley_21320", "cpc"]\n', ""), "holidays: a statement of confidence H or M names its"),
        (
            ('sources = ["subtel"]', 'sources = ["blog"]'),
            "caller_numbers: sources: there is no source 'blog'",
        ),
        (
            ('name = "saturday_morning"', 'name = "every_attempt_counts"'),
            "options: every_attempt_counts stands",
        ),
        (('start = "10:00"', 'start = "07:00"'), "options saturday_morning: hours: Sat is wider than in the"),
        (("days = 731", "days = 0"), "records.days: 0; allowed: a whole number from 1 to 7300"),
        (("format = 1", "format = 1\nrecords = 3"), "it is no TOML: "),
        (("format = 1", "format = 1\nremark = 3"), "remark: 3; allowed: a text of 1 to 1000"),
        (("[records]", "[[records]]"), "records: [{'days': 731"),
        (("number = 1", "number = nan"), "caps.1.number: nan; allowed: a whole number"),
        (("number = 1", "number = inf"), "caps.1.number: inf; allowed: a whole number"),
        (("[sources]", 'chosen = ["saturday_morning"]\n[sources]'), "chosen, exemptions: they belong to an"),
        (("[sources]", "[sources]\n[sources]"), "it is no TOML: "),
        (
            ('name = "retail_financiero"', "name = 12:00:00"),
            "caller_numbers.exemptions.1.name: datetime.time(12, 0); allowed: a name",
        ),
    ],
    ids=lambda value: value[1][:30].strip() if isinstance(value, tuple) else "",
)
def test_a_fault_is_a_sentence_with_file_field_and_what_is_allowed(
    change: tuple[str, str], sentence: str
) -> None:
    assert change[0] in CL
    found = faults(CL.replace(*change, 1))
    assert any(fault.startswith(f"mine.toml: {sentence}") for fault in found), found
    assert all("\n" not in fault and len(fault) < 400 for fault in found)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xfe", "no UTF-8 text"),
        (b"x" * (MAX_BYTES + 1), "at most 65536"),
        (b"a = " + b"[" * 60_000, "no TOML"),
        (b".".join([b"a"] * 30_000) + b" = 1", "too many dots"),
        (b"a = " + b"9" * 5_000, "no TOML"),
        (b"", "kind: it is missing"),
    ],
    ids=["encoding", "size", "depth", "dotted key", "digits", "nothing"],
)
def test_a_hostile_file_is_refused_at_once(data: bytes, words: str) -> None:
    found = parse_file(data, "mine.toml")
    assert isinstance(found, InvalidPack)
    assert words in found.faults[0]


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_a_fault_and_no_crash(data: bytes) -> None:
    assert isinstance(parse_file(data, "mine.toml"), InvalidPack)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(tomllib.loads(CL))), _VALUES)
def test_any_value_of_a_field_is_a_fault_or_a_pack(field: str, value: Any) -> None:
    content = tomllib.loads(CL) | {field: value}
    text = json.dumps(content, default=str)
    # JSON's tables are no TOML: through the same model that files go through.
    try:
        Pack.model_validate_json(text, strict=True)
    except ValueError:
        assert content[field] != tomllib.loads(CL)[field]


class TestInForce:
    def force(
        self, operators: Mapping[str, str], country: str = "CL", purpose: Purpose = Purpose.COLLECTION
    ) -> Pack | InvalidPack | None:
        return pack_in_force(country, purpose, {file: text.encode() for file, text in operators.items()})

    def test_without_files_the_shipped_pack_holds(self) -> None:
        assert self.force({}) == shipped_packs()["CL", Purpose.COLLECTION]

    def test_without_a_pack_no_rule_is_known(self) -> None:
        assert self.force({}, "BR") is None
        assert self.force({}, "CL", Purpose.SURVEY) is None

    def test_an_overlay_makes_it_stricter_and_concerns_no_other(self) -> None:
        found = self.force({"a.toml": OVERLAY + "extra_holidays = [2026-12-24]\n"})
        assert isinstance(found, Pack)
        assert found.holidays is not None
        assert found.holidays.extra == (date(2026, 12, 24),)
        mine = {"a.toml": OVERLAY + "extra_holidays = [2026-12-24]\n"}
        assert self.force(mine, "CO") == shipped_packs()["CO", Purpose.COLLECTION]

    def test_a_broken_file_closes_the_pack_that_it_names_and_no_other(self) -> None:
        broken = {"a.toml": OVERLAY + "records_days = -1\n"}
        found = self.force(broken)
        assert isinstance(found, InvalidPack)
        assert (found.country, found.purpose) == ("CL", Purpose.COLLECTION)
        assert self.force(broken, "CO") == shipped_packs()["CO", Purpose.COLLECTION]
        assert self.force(broken, "BR") is None

    @pytest.mark.parametrize("text", ["???", 'kind = "overlay"', 'country = "CL"', 'country = "chile"'])
    def test_a_broken_file_that_does_not_say_whom_it_concerns_closes_all_that_it_may(self, text: str) -> None:
        assert isinstance(self.force({"a.toml": text}), InvalidPack)

    def test_a_broken_file_of_an_unknown_country_closes_countries_without_a_pack_too(self) -> None:
        assert isinstance(self.force({"a.toml": "???"}, "BR"), InvalidPack)

    def test_two_files_for_one_pack_are_a_fault(self) -> None:
        found = self.force({"a.toml": OVERLAY, "b.toml": OVERLAY})
        assert isinstance(found, InvalidPack)
        assert found.faults == ("a.toml, b.toml: several files for CL collection; allowed: one",)

    def test_a_pack_of_ones_own_holds_where_none_is_shipped(self) -> None:
        found = self.force({"uy.toml": UY}, "UY")
        assert isinstance(found, Pack)
        assert found.name == "UY collection"

    def test_a_shipped_pack_cannot_be_replaced(self) -> None:
        found = self.force({"a.toml": CL})
        assert isinstance(found, InvalidPack)
        assert "kind = overlay" in found.faults[0]

    def test_a_reference_takes_the_rules_with_the_operators_values(self) -> None:
        survey = 'kind = "reference"\nformat = 1\ncountry = "CL"\npurpose = "survey"\nreviewed = 2026-01-01\n'
        survey += 'rules_of = "collection"\nremark = "as our lawyer says"\n'
        found = self.force(
            {"s.toml": survey, "o.toml": OVERLAY + "closed_days = [6]\n"}, "CL", Purpose.SURVEY
        )
        assert isinstance(found, Pack)
        assert found.windows is not None
        assert str(found.windows) == "Mon-Fri 08:00-20:00"
        assert (found.purpose, found.reviewed) == (Purpose.SURVEY, date(2026, 1, 1))

    def test_references_in_a_circle_are_a_fault(self) -> None:
        text = 'kind = "reference"\nformat = 1\ncountry = "UY"\nreviewed = 2026-01-01\nremark = "x"\n'
        circle = {
            "a.toml": text + 'purpose = "survey"\nrules_of = "marketing"\n',
            "b.toml": text + 'purpose = "marketing"\nrules_of = "survey"\n',
            "c.toml": text + 'purpose = "reminder"\nrules_of = "reminder"\n',
        }
        for purpose in (Purpose.SURVEY, Purpose.MARKETING, Purpose.REMINDER):
            assert isinstance(self.force(circle, "UY", purpose), InvalidPack)


class TestChecked:
    def test_what_would_hold_is_shown_with_its_hash(self) -> None:
        checked = check_pack((OVERLAY + 'options = ["saturday_morning"]').encode(), "mine.toml", TODAY)
        assert checked.pack is not None
        assert str(checked.pack.windows) == "Mon-Fri 08:00-20:00, Sat 10:00-13:00"
        assert re.fullmatch(r"[0-9a-f]{64}", checked.content_hash or "")
        assert (checked.kind, checked.faults, checked.warnings) == ("overlay", (), ())

    def test_faults_leave_nothing_that_would_hold(self) -> None:
        checked = check_pack((OVERLAY + 'options = ["sunday"]').encode(), "mine.toml", TODAY)
        assert (checked.pack, checked.content_hash) == (None, None)
        allowed = "saturday_morning, regional_holidays, every_attempt_counts"
        assert checked.faults == (
            f"mine.toml: options: sunday is no option of CL collection; allowed: {allowed}",
        )

    @pytest.mark.parametrize(
        ("values", "fault"),
        [
            ("closed_days = [1, 2, 3, 4, 5, 6]", None),
            (
                (
                    'hours = [{days = [1], start = "09:00", end = "12:00"}, '
                    '{days = [1], start = "11:00", end = "13:00"}]'
                ),
                "mine.toml: windows: the hours of Mon overlap",
            ),
        ],
        ids=["closed all week", "hours that overlap"],
    )
    def test_what_would_hold_can_be_read_again(self, values: str, fault: str | None) -> None:
        checked = check_pack((OVERLAY + values).encode(), "mine.toml", TODAY)
        assert checked.faults == (() if fault is None else (fault,))
        if checked.pack is not None:
            assert Pack.model_validate_json(canonical_json(checked.pack), strict=True) == checked.pack

    def test_an_overlay_needs_a_pack_to_make_stricter(self) -> None:
        checked = check_pack(OVERLAY.replace("CL", "BR").encode(), "mine.toml", TODAY)
        assert "there is no pack BR collection" in checked.faults[0]

    @pytest.mark.parametrize(
        ("today", "warns"),
        [(date(2027, 11, 30), 0), (date(2027, 12, 1), 1), (date(2026, 11, 29), 1), (date(2026, 11, 30), 0)],
    )
    def test_a_pack_older_than_twelve_months_warns(self, today: date, warns: int) -> None:
        assert len([*pack_warnings(shipped_packs()["CL", Purpose.COLLECTION], today)]) == warns


def test_kinds_of_files_are_told_apart() -> None:
    reference = (DIRECTORY / "CL-reminder.toml").read_bytes()
    assert isinstance(parse_file(reference, "x"), Reference)
    assert isinstance(parse_file(OVERLAY.encode(), "x"), Overlay)
