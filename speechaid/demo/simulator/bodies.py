"""Validation of create requests, with refusals in Retell's format."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from speechaid.model.agent_settings import LANGUAGES
from speechaid.model.reading import find_zone

#: A phone number as the API requires it.
E164: Final = re.compile(r"\+[1-9]\d{6,14}")
#: Bytes of JSON that metadata may hold.
METADATA_LIMIT: Final = 50_000


class Refusal(Exception):  # noqa: N818 - a response of the API, not an error of ours
    """A response other than success."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


class VoicemailAction(BaseModel):
    """What happens at a voicemail."""

    model_config = ConfigDict(strict=True)

    type: Literal["hangup", "static_text", "prompt", "bridge_transfer"]
    text: str | None = None


class VoicemailOption(BaseModel):
    """``voicemail_option``."""

    model_config = ConfigDict(strict=True)

    action: VoicemailAction


class AgentSettings(BaseModel):
    """The used part of ``agent_override.agent``; the bounds are the API's."""

    model_config = ConfigDict(strict=True)

    ring_duration_ms: int = Field(default=30_000, ge=5_000, le=300_000)
    max_call_duration_ms: int = Field(default=3_600_000, ge=60_000, le=7_200_000)
    timezone: str | None = None
    language: str | None = None
    enable_dnc_detection: bool | None = None
    voicemail_option: VoicemailOption | None = None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        if name is not None and find_zone(name) is None:
            raise ValueError("not an IANA timezone")
        return name

    @field_validator("language")
    @classmethod
    def _known_language(cls, language: str | None) -> str | None:
        if language is not None and language not in LANGUAGES:
            raise ValueError("not a supported language")
        return language


class AgentOverride(BaseModel):
    """``agent_override``."""

    model_config = ConfigDict(strict=True)

    agent: AgentSettings = AgentSettings()


class CreateBody(BaseModel):
    """The body of create-phone-call; null is invalid for every field, unknown fields are ignored."""

    model_config = ConfigDict(strict=True)

    from_number: str
    to_number: str
    override_agent_id: str = "agent_of_the_from_number"
    override_agent_version: int | str = 0
    agent_override: AgentOverride = AgentOverride()
    retell_llm_dynamic_variables: dict[str, str] = {}
    metadata: dict[str, Any] = {}
    custom_sip_headers: dict[str, str] = {}
    idempotency_key: str = ""
    honor_internal_dnc: bool = False
    ignore_e164_validation: bool = False

    def given(self, field: str) -> Any:
        """The field's value if the request has it, else None."""
        return getattr(self, field) if field in self.model_fields_set else None

    @property
    def detects_dnc(self) -> bool:
        """Whether the agent understands a wish not to be called again; so it does unless the body says no."""
        return self.agent_override.agent.enable_dnc_detection is not False

    @property
    def ring_limit_seconds(self) -> float:
        """The longest ring."""
        return self.agent_override.agent.ring_duration_ms / 1000

    @property
    def talk_limit_seconds(self) -> float:
        """The longest connected duration."""
        return self.agent_override.agent.max_call_duration_ms / 1000


def read_create(document: object) -> CreateBody:
    """Validate the body of a create request.

    Raises:
        Refusal: 400 for a wrong type or range, 422 for a number that is not E.164; the message names the
            field.
    """
    try:
        body = CreateBody.model_validate(document)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "body"
        raise Refusal(400, f"Invalid request format: {field}: {first['msg']}") from exc
    if len(json.dumps(body.metadata).encode()) > METADATA_LIMIT:
        raise Refusal(400, "Invalid request format: metadata: more than 50 kB")
    if not body.ignore_e164_validation:
        for field in ("to_number", "from_number"):
            if not E164.fullmatch(getattr(body, field)):
                raise Refusal(422, f"{field} is not a valid E.164 phone number")
    return body


def digest(document: object) -> str:
    """A digest of a request body: equal for equal JSON in any field order."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]
