"""``call_settings`` of a request in SpeechAI's names, as options of the daemon's commands about batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt

#: The option of the command for each field; a test compares them with the command table.
OPTION_OF: Final[Mapping[str, str]] = {
    "allowed_hours": "hours",
    "days_of_week": "days",
    "timezone": "timezone",
    "start_at": "start_at",
    "max_attempts": "max_attempts",
    "retry_delay_hours": "retry_delay_hours",
    "ring_timeout": "ring_timeout",
    "max_call_duration": "max_call_duration",
    "max_concurrent_calls": "max_concurrent_calls",
    "voicemail_counts": "voicemail_counts",
    "agent_id": "agent",
    "agent_version": "agent_version",
    "from_number": "from_number",
    "language": "language",
    "voicemail_option": "voicemail_option",
    "dnc_detection": "dnc_detection",
    "purpose": "purpose",
    "pack_variant": "pack_variant",
}
_TIME: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"


class AllowedHours(BaseModel):
    """When people may be called, by the clock of the batch's zone."""

    model_config = ConfigDict(extra="forbid")

    start: str = Field(pattern=_TIME, examples=["09:00"])
    end: str = Field(pattern=_TIME, examples=["19:00"])


class CallSettingsBody(BaseModel):
    """How the people of a batch are called; in a change, null restores the default."""

    model_config = ConfigDict(extra="forbid")

    allowed_hours: AllowedHours | None = None
    days_of_week: list[StrictInt] | None = Field(None, min_length=1, max_length=7, description="Monday is 1")
    timezone: str | None = Field(None, examples=["America/Santiago"])
    start_at: str | None = Field(
        None,
        pattern=r"^\d{4}-\d\d-\d\d[T ]\d?\d:\d\d$",
        examples=["2026-12-01T09:00"],
        description="nobody is called before this time, by the clock of the batch's zone",
    )
    max_attempts: StrictInt | None = Field(None, ge=1, le=100)
    retry_delay_hours: StrictFloat | None = Field(None, ge=0, le=8760)
    ring_timeout: StrictFloat | None = Field(None, ge=5, le=300, description="seconds")
    max_call_duration: StrictFloat | None = Field(None, ge=60, le=7200, description="seconds")
    max_concurrent_calls: StrictInt | None = Field(None, ge=1, le=100_000)
    voicemail_counts: StrictBool | None = None
    agent_id: str | None = None
    agent_version: StrictInt | str | None = None
    from_number: str | None = None
    language: str | None = None
    voicemail_option: str | None = None
    dnc_detection: StrictBool | None = None
    purpose: Literal["collection", "marketing", "survey", "reminder"] | None = Field(
        None, description="by the law of each number's country for it people are called"
    )
    pack_variant: str | None = Field(
        None, description="the pack of this name, as set-pack put it in force, in the place of a country's"
    )

    def to_options(self) -> tuple[dict[str, Any], list[str]]:
        """The options that are set, and the names of those that go back to their default."""
        given: dict[str, Any] = {}
        unset: list[str] = []
        for name in self.model_fields_set:
            option, value = OPTION_OF[name], getattr(self, name)
            if value is None:
                unset.append(option.replace("_", "-"))
            elif name == "voicemail_counts":
                given[option if value else "no_voicemail_counts"] = True
            else:
                given[option] = _typed(name, value)
        return given, unset


def _typed(name: str, value: Any) -> Any:
    """A value as it is typed for the option."""
    if name == "allowed_hours":
        return f"{value.start}-{value.end}"
    if name == "days_of_week":
        return ",".join(map(str, value))
    if name == "dnc_detection":
        return "yes" if value else "no"
    return str(value) if name == "agent_version" else value
