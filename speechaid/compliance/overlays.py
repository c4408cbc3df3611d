"""An operator's overlay over a shipped pack: it makes the pack stricter. Pure: no I/O, no clock.

A looser value is refused unless one of the overlay's exemptions names the part that it loosens, with who said
so; the exemption then stands in the pack that results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from speechaid.compliance.packs import (
    WEEKDAYS,
    Cap,
    Confidence,
    DayHours,
    HolidayRule,
    LooserPart,
    Option,
    Overlay,
    Pack,
    Scope,
    Span,
    Unit,
    Windows,
    days_text,
)

#: What stands for a windowless day: the whole day.
_WHOLE_DAY: Final = [(0, 24 * 60)]


def apply_overlay(pack: Pack, overlay: Overlay) -> tuple[Pack, list[str]]:
    """The pack with an overlay's values, and what is wrong with these; with faults the pack is of no use.

    Args:
        pack: as shipped.
        overlay: of the same country and purpose.
    """
    allowed = {part for one in overlay.exemptions for part in one.loosens}
    options, faults = _chosen(pack, overlay)
    result = pack
    for option in options:
        result = _with_values(
            result,
            hours=option.hours,
            holidays=option.holidays,
            subdivisions=option.subdivisions,
            caps=option.caps,
        )
    result = _with_values(
        result,
        hours=overlay.hours,
        closed_days=overlay.closed_days,
        holidays=overlay.holidays,
        subdivisions=overlay.subdivisions,
        extra=overlay.extra_holidays,
        caps=overlay.caps,
    )
    if overlay.records_days is not None:
        if pack.records is None:
            faults.append("records_days: the pack says nothing of records; allowed: none")
        else:
            records = pack.records.model_copy(update={"days": overlay.records_days})
            result = result.model_copy(update={"records": records})
    if (overlay.holidays or overlay.subdivisions or overlay.extra_holidays) and pack.holidays is None:
        faults.append("holidays: the pack says nothing of holidays; allowed: none")
    result = result.model_copy(
        update={
            "chosen": overlay.options,
            "exemptions": overlay.exemptions,
            "variant": overlay.variant,
            "spread_attempts": pack.spread_attempts or overlay.spread_attempts,
        }
    )
    faults += [fault for part, fault in looser_parts(pack, result) if part not in allowed]
    faults += _exemption_faults(pack, overlay)
    return result, faults


def looser_parts(pack: Pack, other: Pack) -> Iterator[tuple[LooserPart, str]]:
    """In what ``other`` allows a call that ``pack`` does not: the part, and a sentence."""
    for day in WEEKDAYS:
        before, after = _spans(pack, day), _spans(other, day)
        if not all(_is_within(span, before) for span in after):
            allowed = ", ".join(f"{_clock(start)}-{_clock(end)}" for start, end in before) or "no call"
            yield (
                LooserPart.HOURS,
                f"hours: {days_text([day])} is wider than in the pack; allowed: {allowed}, or an exemption",
            )
    yield from _looser_holidays(pack, other)
    names = {cap.name: cap for cap in other.caps}
    for cap in pack.caps:
        if cap.name not in names or not is_stricter(names[cap.name], cap):
            yield (
                LooserPart.CAPS,
                f"caps {cap.name}: looser than in the pack; allowed: at most {cap}, or an exemption",
            )
    if pack.spread_attempts and not other.spread_attempts:
        yield LooserPart.CAPS, "spread_attempts: off; allowed: true, or an exemption"
    if pack.records is not None and (other.records is None or other.records.days < pack.records.days):
        yield (
            LooserPart.RECORDS,
            f"records_days: shorter than in the pack; allowed: at least {pack.records.days}, or an exemption",
        )


def is_stricter(cap: Cap, other: Cap) -> bool:
    """Whether a cap refuses every call that another refuses; equal ones do."""
    counts_more = cap.unit in {other.unit, Unit.ATTEMPT}
    counts_wider = cap.scope is other.scope or cap.scope is Scope.PERSON
    # What one more allows, a cap without it refuses.
    leaves_no_more = other.one_more_same_day or not cap.one_more_same_day
    return (
        counts_more
        and counts_wider
        and leaves_no_more
        and cap.number <= other.number
        and _is_longer(cap, other)
    )


def _is_longer(cap: Cap, other: Cap) -> bool:
    """Whether a cap's span has every moment of another's, wherever both are counted."""
    if cap.span is other.span:
        return (cap.length or 0) >= (other.length or 0)
    if cap.span is Span.CALENDAR_WEEK:
        return other.span is Span.CALENDAR_DAY
    return False


def _chosen(pack: Pack, overlay: Overlay) -> tuple[list[Option], list[str]]:
    known = {option.name: option for option in pack.options}
    faults = [
        f"options: {name} is no option of {pack.name}; allowed: {', '.join(known) or 'none'}"
        for name in overlay.options
        if name not in known
    ]
    return [known[name] for name in overlay.options if name in known], faults


def _with_values(
    pack: Pack,
    *,
    hours: Sequence[DayHours] = (),
    closed_days: Sequence[int] = (),
    holidays: HolidayRule | None = None,
    subdivisions: Sequence[str] = (),
    extra: Sequence[Any] = (),
    caps: Sequence[Cap] = (),
) -> Pack:
    update: dict[str, Any] = {}
    if hours or closed_days:
        update["windows"] = _with_hours(pack.windows, hours, closed_days)
    if pack.holidays is not None and (holidays is not None or subdivisions or extra):
        update["holidays"] = pack.holidays.model_copy(
            update={
                "rule": holidays or pack.holidays.rule,
                "subdivisions": tuple(dict.fromkeys((*pack.holidays.subdivisions, *subdivisions))),
                "extra": tuple(sorted({*pack.holidays.extra, *extra})),
            }
        )
    if caps:
        update["caps"] = tuple(
            ({cap.name: cap for cap in pack.caps} | {cap.name: cap for cap in caps}).values()
        )
    return pack.model_copy(update=update)


def _with_hours(windows: Windows | None, hours: Sequence[DayHours], closed_days: Sequence[int]) -> Windows:
    whole_week = DayHours(days=tuple(WEEKDAYS), start="00:00", end="24:00")
    replaced = {day for each in hours for day in each.days} | set(closed_days)
    kept = [
        each.model_copy(update={"days": tuple(day for day in each.days if day not in replaced)})
        for each in (windows.hours if windows is not None else (whole_week,))
    ]
    result = (*(each for each in kept if each.days), *_without(hours, closed_days))
    if windows is not None:
        return windows.model_copy(update={"hours": result})
    return Windows.model_construct(
        hours=result, says="The operator's hours: house rule.", confidence=Confidence.LOW, sources=()
    )


def _without(hours: Sequence[DayHours], closed_days: Sequence[int]) -> Iterator[DayHours]:
    for each in hours:
        days = tuple(day for day in each.days if day not in closed_days)
        if days:
            yield each.model_copy(update={"days": days})


def _spans(pack: Pack, day: int) -> list[tuple[int, int]]:
    return _WHOLE_DAY if pack.windows is None else pack.windows.spans_of(day)


def _is_within(span: tuple[int, int], spans: Sequence[tuple[int, int]]) -> bool:
    """Whether the spans, which do not overlap and are sorted, cover one."""
    start, end = span
    for first, last in spans:
        if first <= start < last:
            start = last
    return start >= end


def _looser_holidays(pack: Pack, other: Pack) -> Iterator[tuple[LooserPart, str]]:
    before = HolidayRule.IGNORED if pack.holidays is None else pack.holidays.rule
    after = HolidayRule.IGNORED if other.holidays is None else other.holidays.rule
    if after in {before, HolidayRule.BARRED}:
        return
    # Sunday's hours may be longer than those of the weekday that a holiday falls on, or shorter.
    yield (
        LooserPart.HOLIDAYS,
        f"holidays: {after} may allow what {before} does not; allowed: {before}, barred, or an exemption",
    )


def _exemption_faults(pack: Pack, overlay: Overlay) -> Iterator[str]:
    known = [] if pack.caller_numbers is None else [one.name for one in pack.caller_numbers.exemptions]
    for one in overlay.exemptions:
        if LooserPart.CALLER_NUMBERS in one.loosens and one.name not in known:
            yield (
                f"exemptions {one.name}: {pack.name} knows no such exemption from its calling numbers; "
                f"allowed: {', '.join(known) or 'none'}"
            )


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
