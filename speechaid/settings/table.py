"""The declared settings as a table: for faults, warnings, reload, and the page in the docs.

``python -m speechaid.settings docs/settings.md`` writes the page's table anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel, SecretStr

from speechaid.settings.fields import hide_credentials
from speechaid.settings.groups import Settings

#: What comes after this line of the page is written from the declarations.
TABLE_BEGINS: Final = "<!-- From here on written by `python -m speechaid.settings docs/settings.md` -->\n"
_SHOWN_LENGTH: Final = 80


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """One setting as ``groups`` declares it."""

    variable: str
    group: str
    field: str
    #: As one would write it in a file; None where there is none.
    default: str | None
    #: In place of the default, where that is worked out at the start.
    default_shown: str | None = None
    #: Completes "must be".
    allowed: str
    meaning: str
    required: bool
    #: Whether a reload applies a change.
    live: bool
    secret: bool

    def of(self, settings: Settings) -> Any:
        """The setting's value."""
        return getattr(getattr(settings, self.group), self.field)

    def shown(self, value: object) -> str:
        """A value fit for an operator's eyes: a secret stays hidden, line ends are escaped."""
        if value is None:
            return "(not set)"
        text = value.get_secret_value() if isinstance(value, SecretStr) else _written(value)
        # Of an address without credentials nothing is secret, and a misspelt one should be seen.
        if self.secret and (self.variable != "MONGO_URI" or re.search(r"[@=]", text)):
            return "(hidden)"
        text = hide_credentials(text)
        if len(text) > _SHOWN_LENGTH:
            text = text[:_SHOWN_LENGTH] + "..."
        return text if text.isprintable() else repr(text)


def _written(value: object) -> str:
    """A value as it stands in a file."""
    if isinstance(value, BaseModel):
        return "-".join(str(part) for _, part in value)
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _declarations() -> Iterator[Declaration]:
    for group, holder in Settings.model_fields.items():
        fields = getattr(holder.annotation, "model_fields", {})
        for name, info in fields.items():
            default = None if info.is_required() else info.default
            clear = default.get_secret_value() if isinstance(default, SecretStr) else default
            yield Declaration(
                group=group,
                field=name,
                default=None if clear is None else _written(clear),
                meaning=info.description,
                required=info.is_required(),
                secret=SecretStr in (info.annotation, *get_args(info.annotation)),
                **info.json_schema_extra,
            )


DECLARATIONS: Final = tuple(_declarations())
BY_VARIABLE: Final = {declared.variable: declared for declared in DECLARATIONS}


def settings_table() -> str:
    """Every setting in Markdown, one table a group."""
    lines: list[str] = []
    group = ""
    for declared in DECLARATIONS:
        if declared.group != group:
            group = declared.group
            purpose = (Settings.model_fields[group].annotation or Settings).__doc__
            lines += ["", f"## {group}", "", f"{purpose}", ""]
            lines += ["| variable | default | setting | meaning | allowed | a change takes |"]
            lines += ["|---|---|---|---|---|---|"]
        lines.append(_row(declared))
    return "\n".join(lines) + "\n"


def _row(declared: Declaration) -> str:
    default = declared.default_shown or (
        f"`{declared.default}`" if declared.default is not None else "not set"
    )
    cells = (
        f"`{declared.variable}`",
        "**required**" if declared.required and not declared.default_shown else default,
        f"`{declared.group}.{declared.field}`",
        declared.meaning,
        declared.allowed,
        "a reload" if declared.live else "a restart",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
