"""Filters and pages of list-calls, version 3 of the endpoint."""

from __future__ import annotations

import base64
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from speechaid.demo.simulator.bodies import Refusal
from speechaid.demo.simulator.settings import SortOrder

Document = dict[str, Any]


class _Model(BaseModel):
    # Strict, no extra fields: a misspelt filter must be refused, not ignored and so match every call.
    model_config = ConfigDict(extra="forbid", strict=True)


class _Keyed(_Model):
    #: For metadata and dynamic variables: the entry to compare.
    key: str | None = None


class StringFilter(_Keyed):
    """Compares text."""

    type: Literal["string"]
    op: Literal["eq", "ne", "sw", "ew", "co"]
    value: str


class NumberFilter(_Keyed):
    """Compares a number."""

    type: Literal["number"]
    op: Literal["eq", "ne", "gt", "ge", "lt", "le"]
    value: float


class BooleanFilter(_Keyed):
    """Compares a boolean."""

    type: Literal["boolean"]
    op: Literal["eq"]
    value: bool


class RangeFilter(_Keyed):
    """Between two inclusive bounds."""

    type: Literal["range"]
    op: Literal["bt"]
    value: Annotated[list[float], Field(min_length=2, max_length=2)]


class EnumFilter(_Keyed):
    """One of the values listed."""

    type: Literal["enum"]
    op: Literal["in"]
    value: list[str]


class PresentFilter(_Keyed):
    """Whether there is a value."""

    type: Literal["present"]
    op: Literal["pr", "np"]


class StatusFilter(EnumFilter):
    """Registered calls cannot be filtered for."""

    value: list[Literal["not_connected", "ongoing", "ended", "error"]]  # type: ignore[assignment]


class AgentFilter(_Model):
    """One agent, in any or in some of its versions."""

    agent_id: str
    version: list[float] = []


_Numeric = Annotated[NumberFilter | RangeFilter, Field(discriminator="type")]
_Entry = Annotated[
    StringFilter | NumberFilter | BooleanFilter | RangeFilter | EnumFilter | PresentFilter,
    Field(discriminator="type"),
]


class FilterCriteria(_Model):
    """All must match. API filters without meaning for simulated calls are refused."""

    agent: list[AgentFilter] | None = None
    call_id: Annotated[StringFilter | EnumFilter, Field(discriminator="type")] | None = None
    call_status: StatusFilter | None = None
    call_type: EnumFilter | None = None
    call_successful: BooleanFilter | None = None
    combined_cost: _Numeric | None = None
    direction: EnumFilter | None = None
    disconnection_reason: EnumFilter | None = None
    duration_ms: _Numeric | None = None
    dynamic_variables: list[_Entry] | None = None
    end_timestamp: _Numeric | None = None
    from_number: StringFilter | None = None
    in_voicemail: BooleanFilter | None = None
    metadata: list[_Entry] | None = None
    start_timestamp: _Numeric | None = None
    to_number: StringFilter | None = None
    user_sentiment: EnumFilter | None = None


class ListBody(_Model):
    """The body of list-calls."""

    filter_criteria: FilterCriteria = FilterCriteria()
    include_total: bool = False
    limit: int = Field(default=50, ge=1, le=1000)
    pagination_key: str | None = None
    skip: int = Field(default=0, ge=0)
    sort_order: SortOrder = "descending"

    @property
    def wanted_ids(self) -> list[str] | None:
        """The values of the filter by call id; None where it names none."""
        wanted = self.filter_criteria.call_id
        return list(dict.fromkeys(wanted.value)) if isinstance(wanted, EnumFilter) else None


def read_list(document: object) -> ListBody:
    """Validate the body of a list request.

    Raises:
        Refusal: 400; the message names the field.
    """
    try:
        return ListBody.model_validate(document)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise Refusal(400, f"Invalid request format: {field}: {first['msg']}") from exc


def page(body: ListBody, calls: Iterable[tuple[int, Document]]) -> Document:
    """One page of the calls (serial and call object each) that match the filters.

    Sorted by ``start_timestamp``; a call without one counts as 0, so that ``descending`` lists it last.
    """
    found = [
        (document.get("start_timestamp", 0), serial, document)
        for serial, document in calls
        if passes(body.filter_criteria, document)
    ]
    descending = body.sort_order == "descending"
    found.sort(key=lambda entry: entry[:2], reverse=descending)
    total = len(found)
    if body.pagination_key is not None:
        last = _read_cursor(body.pagination_key)
        found = [entry for entry in found if (entry[:2] < last if descending else entry[:2] > last)]
    found = found[body.skip :]
    shown = found[: body.limit]
    answer: Document = {"items": [entry[2] for entry in shown], "has_more": len(found) > len(shown)}
    if answer["has_more"]:
        answer["pagination_key"] = _cursor(*shown[-1][:2])
    if body.include_total:
        answer["total"] = total
    return answer


def _cursor(start: int, serial: int) -> str:
    return base64.urlsafe_b64encode(f"{start}/{serial}".encode()).decode()


def _read_cursor(key: str) -> tuple[int, int]:
    try:
        start, serial = base64.urlsafe_b64decode(key.encode()).decode().split("/")
        return int(start), int(serial)
    except ValueError as exc:
        raise Refusal(400, "Invalid request format: pagination_key: invalid") from exc


def passes(criteria: FilterCriteria, document: Document) -> bool:
    """Whether a call object matches all filters."""
    for field in criteria.model_fields_set:
        filters = getattr(criteria, field)
        if field == "agent":
            matches = not filters or any(_is_agent(wanted, document) for wanted in filters)
        elif field in _CONTAINERS:
            entries = document.get(_CONTAINERS[field]) or {}
            matches = all(_matches(wanted, entries.get(wanted.key)) for wanted in filters or ())
        else:
            matches = filters is None or _matches(filters, _value(document, field))
        if not matches:
            return False
    return True


_CONTAINERS: Final = {"metadata": "metadata", "dynamic_variables": "retell_llm_dynamic_variables"}
#: Fields inside another field.
_NESTED: Final = {
    "combined_cost": "call_cost",
    "call_successful": "call_analysis",
    "in_voicemail": "call_analysis",
    "user_sentiment": "call_analysis",
}


def _value(document: Document, field: str) -> Any:
    container: Mapping[str, Any] = document.get(_NESTED[field], {}) if field in _NESTED else document
    return container.get(field)


def _is_agent(wanted: AgentFilter, document: Document) -> bool:
    version = float(document["agent_version"])
    return document["agent_id"] == wanted.agent_id and (not wanted.version or version in wanted.version)


_TEXT: Final[dict[str, Callable[[str, str], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "sw": str.startswith,
    "ew": str.endswith,
    "co": operator.contains,
}
_NUMBER: Final[dict[str, Callable[[float, float], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}


def _matches(wanted: Any, value: Any) -> bool:
    """Whether a value matches a filter; None or another type matches only ``np`` and ``ne``."""
    if isinstance(wanted, PresentFilter):
        return (value is not None) is (wanted.op == "pr")
    if isinstance(wanted, StringFilter):
        return _TEXT[wanted.op](value, wanted.value) if isinstance(value, str) else wanted.op == "ne"
    if isinstance(wanted, EnumFilter):
        return isinstance(value, str) and value in wanted.value
    if isinstance(wanted, BooleanFilter):
        return value is wanted.value
    return _compares(wanted, value)


def _compares(wanted: NumberFilter | RangeFilter, value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return wanted.op == "ne"
    if isinstance(wanted, RangeFilter):
        return wanted.value[0] <= value <= wanted.value[1]
    return _NUMBER[wanted.op](value, wanted.value)
