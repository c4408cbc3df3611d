"""The variables that an agent's prompt names, and who gives each of them a value. Pure.

A prompt names a variable as ``{{name}}``. What nobody gives a value stays in the text: the agent says the
braces (https://docs.retellai.com/build/dynamic-variables).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from speechaid.protocol.translation import say, say_later

#: Spaces beside the name do not count.
_NAMED: Final = re.compile(r"\{\{([^{}]{1,200})\}\}")
#: Different names of one agent that are read at most.
_MOST_NAMES: Final = 1000
#: How similar a variable must be to be offered for one that is missing, from 0 to 1.
_SIMILAR: Final = 0.75

#: What Retell sets by itself in a phone call, and when ("" is always).
#: Source: https://docs.retellai.com/build/dynamic-variables, "Default System Variables", November 2026. Its
#: ``chat_id`` is not here: a phone call has none.
BUILT_IN: Final[Mapping[str, str]] = {
    "current_time": "",
    "current_hour": "",
    "current_calendar": "",
    "session_type": "",
    "session_duration": "",
    "session_duration_ms": "",
    "direction": "",
    "user_number": "",
    "agent_number": "",
    "call_id": "",
    "call_type": "",
    "current_agent_state": say_later("agents with states"),
    "previous_agent_state": say_later("agents with states"),
    "current_node": say_later("conversation flows"),
    "previous_node": say_later("conversation flows"),
}
#: The same with a zone behind it: ``current_time_America/Santiago``.
BUILT_IN_WITH_ZONE: Final = ("current_time_", "current_hour_", "current_calendar_")
#: Set only where the person is among the contacts that Retell has; the same source, "Contacts".
OF_CONTACTS: Final = frozenset({"first_name", "last_name", "do_not_call", "contact_memory"})

#: Fields whose text is neither said nor read by the model.
_NOT_SAID: Final = frozenset({"default_dynamic_variables", "notes"})
#: Comparisons that ask whether a variable is there: they need no value.
_ASKS_FOR_PRESENCE: Final = frozenset({"exists", "not_exist"})
#: What the fields of agent and prompt are called for people; the others by their own name.
_PLACES: Final[Mapping[str, str]] = {
    "general_prompt": "prompt",
    "global_prompt": "prompt",
    "begin_message": say_later("first sentence"),
    "voicemail_option": "voicemail",
    "general_tools": "tools",
}


class Given(StrEnum):
    """Who gives a variable that the prompt names its value."""

    #: Every job that was looked at.
    JOBS = "jobs"
    #: Some jobs; the others have nothing to say.
    SOME_JOBS = "some_jobs"
    #: The agent's default, for the jobs that have no value.
    DEFAULT = "default"
    RETELL = "retell"
    #: Retell's contacts, for those people that are among them.
    CONTACTS = "contacts"
    #: The call itself: a tool or a question of the agent sets it.
    CALL = "call"
    #: Nobody: the agent says the braces.
    NOBODY = "nobody"
    #: No job was looked at.
    UNKNOWN = "unknown"


#: The agent says the braces, to all or to some people.
LACKING: Final = frozenset({Given.NOBODY, Given.SOME_JOBS})


@dataclass(frozen=True, kw_only=True)
class PromptReading:
    """What one agent's texts say about variables."""

    #: Places by name, in the order in which they were found.
    named: Mapping[str, tuple[str, ...]]
    defaults: frozenset[str]
    #: Set during the call.
    collected: frozenset[str]
    #: False where Retell does not show the prompt: then only the agent's own texts were read.
    is_shown: bool
    #: Agents that this one may hand the call to; their prompts were not read.
    other_agents: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class NamedVariable:
    """One variable that the prompt names."""

    name: str
    given: Given
    places: tuple[str, ...]
    #: Jobs without a value for it, of those that were looked at.
    jobs_without: int
    #: A variable of the jobs that has nearly the same name.
    similar: str | None = None


@dataclass(frozen=True, kw_only=True)
class PromptComparison:
    """A prompt's variables beside those of a batch's jobs."""

    variables: tuple[NamedVariable, ...]
    #: Own variables of the jobs that the prompt does not name, nor anything that is made of them.
    unused: tuple[str, ...]

    @property
    def lacking(self) -> tuple[NamedVariable, ...]:
        """The variables that some or all people have not."""
        return tuple(each for each in self.variables if each.given in LACKING)


@dataclass(kw_only=True)
class JobVariables:
    """The variables of the jobs that were looked at."""

    jobs: int = 0
    #: How many of them have a value, by name.
    with_value: dict[str, int] = field(default_factory=dict)
    #: The names that come from the jobs themselves, not from speechaid.
    own: set[str] = field(default_factory=set)

    def add(self, variables: Iterable[str], own: Iterable[str]) -> None:
        """Count one job."""
        self.jobs += 1
        for name in variables:
            self.with_value[name] = self.with_value.get(name, 0) + 1
        self.own.update(own)


def read_prompt(agent: Mapping[str, Any], prompt: Mapping[str, Any] | None) -> PromptReading:
    """Find the variables of an agent.

    Args:
        agent: Retell's answer to get-agent.
        prompt: the document of its engine; None where Retell shows none.
    """
    texts = _Texts()
    for document in (prompt or {}, agent):
        for top, value in document.items():
            for place, part in _parts(str(top), value) if top not in _NOT_SAID else ():
                texts.read(part, place)
    defaults = (prompt or {}).get("default_dynamic_variables")
    return PromptReading(
        named={name: tuple(places) for name, places in texts.named.items()},
        defaults=frozenset(map(str, defaults)) if isinstance(defaults, Mapping) else frozenset(),
        collected=frozenset(texts.collected),
        is_shown=prompt is not None,
        other_agents=tuple(dict.fromkeys(texts.other_agents)),
    )


def compare_variables(
    reading: PromptReading, jobs: JobVariables, derived: Mapping[str, str]
) -> PromptComparison:
    """Say who gives each variable of the prompt its value, and which ones of the jobs nobody uses.

    Args:
        reading: the agent's.
        jobs: of the batch; with no job in it, nothing is said about them.
        derived: names that are made of another variable, and the name of that one.
    """
    variables = tuple(
        NamedVariable(
            name=name,
            given=(given := _given(name, reading, jobs)),
            places=places,
            jobs_without=jobs.jobs - jobs.with_value.get(name, 0),
            similar=_similar(name, jobs) if given is Given.NOBODY else None,
        )
        for name, places in reading.named.items()
    )
    used = {*reading.named, *(derived[name] for name in reading.named if name in derived)}
    unused = () if not reading.is_shown else tuple(sorted(jobs.own - used))
    return PromptComparison(variables=variables, unused=unused)


def _given(name: str, reading: PromptReading, jobs: JobVariables) -> Given:
    having = jobs.with_value.get(name, 0)
    rows = (
        (jobs.jobs > 0 and having == jobs.jobs, Given.JOBS),
        (name in reading.defaults, Given.DEFAULT),
        (name in BUILT_IN or name.startswith(BUILT_IN_WITH_ZONE), Given.RETELL),
        (name in reading.collected, Given.CALL),
        (having > 0, Given.SOME_JOBS),
        (name in OF_CONTACTS, Given.CONTACTS),
        (jobs.jobs > 0, Given.NOBODY),
    )
    return next((given for holds, given in rows if holds), Given.UNKNOWN)


def _similar(name: str, jobs: JobVariables) -> str | None:
    by_folded = {own.casefold(): own for own in sorted(jobs.with_value)}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=_SIMILAR)
    return by_folded[close[0]] if close else None


def _parts(top: str, value: object) -> Iterable[tuple[str, object]]:
    """The parts of a field, each with the place that people know it by."""
    one = {"states": "state", "nodes": "node"}.get(top)
    if one is None or not isinstance(value, list):
        return [(_PLACES.get(top, top.replace("_", " ")), value)]
    return [(say("{one} {title}", one=one, title=_title(part)), part) for part in value]


def _title(part: object) -> str:
    fields = part if isinstance(part, Mapping) else {}
    return str(fields.get("name") or fields.get("id") or "?")[:60]


class _Texts:
    """Reads values and all that is in them, as deep as an answer may be."""

    def __init__(self) -> None:
        self.named: dict[str, list[str]] = {}
        self.collected: set[str] = set()
        self.other_agents: list[str] = []

    def read(self, value: object, place: str) -> None:
        """Read one value, which stands in this place."""
        if isinstance(value, str):
            self._read_text(value, place)
        elif isinstance(value, list):
            for entry in value:
                self.read(entry, place)
        elif isinstance(value, Mapping):
            self._read_fields(value, place)

    def _read_text(self, text: str, place: str) -> None:
        for match in _NAMED.finditer(text):
            name = match[1].strip()
            if name and (name in self.named or len(self.named) < _MOST_NAMES):
                places = self.named.setdefault(name, [])
                if place not in places:
                    places.append(place)

    def _read_fields(self, fields: Mapping[str, Any], place: str) -> None:
        self.collected.update(_collected(fields))
        if fields.get("type") == "agent_swap" and isinstance(fields.get("agent_id"), str):
            self.other_agents.append(fields["agent_id"])
        asks = fields.get("operator") in _ASKS_FOR_PRESENCE
        for name, entry in fields.items():
            if name not in _NOT_SAID and not (asks and name == "left"):
                self.read(entry, place)


def _collected(fields: Mapping[str, Any]) -> Iterable[str]:
    """The variables that a tool, a node or the way to another state sets."""
    if isinstance(answers := fields.get("response_variables"), Mapping):
        yield from map(str, answers)
    if str(fields.get("type", "")).startswith("extract_dynamic_variable"):
        rows = fields.get("variables")
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, Mapping) and row.get("name"):
                yield str(row["name"])
    if "destination_state_name" in fields and isinstance(parameters := fields.get("parameters"), Mapping):
        properties = parameters.get("properties")
        yield from map(str, properties if isinstance(properties, Mapping) else ())
