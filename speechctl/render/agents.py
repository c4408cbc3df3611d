"""The results of ``check-agent``, ``agents`` and ``numbers`` as blocks; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from speechctl.render.blocks import Block, Heading, Result, table
from speechctl.render.text import plural

#: Who gives a variable its value, in words.
_GIVEN: Final = {
    "jobs": "every job",
    "some_jobs": "some jobs",
    "default": "the agent's default",
    "retell": "Retell",
    "contacts": "Retell's contacts, if it has the person",
    "call": "the call itself",
    "nobody": "NOBODY",
    "unknown": "the jobs (--batch compares)",
}
#: Those that need attention come first.
_ORDER: Final = ("nobody", "some_jobs", "unknown", "contacts", "default", "jobs", "call", "retell")


def start_warning(result: Result) -> list[Block]:
    """What the start of a batch says about its agent: which one where it has its own, and what it lacks."""
    warning: list[Block] = [f"! {result['agent_warning']}"] if result.get("agent_warning") else []
    return [*own_agent(result.get("agent")), *warning]


def own_agent(agent: Result | None) -> list[Block]:
    """Agent, version and number of a batch that names one of them itself."""
    if agent is None or "batch" not in {agent[f"{part}_source"] for part in ("agent", "version", "number")}:
        return []
    version = "" if agent["version"] is None else f", version {agent['version']}"
    pinned = " (pinned)" if agent["version_source"] == "pinned" else ""
    return [f"its agent is {agent['agent_id']}{version}{pinned}; it calls from {agent['from_number']}"]


def check_agent(result: Result) -> list[Block]:
    """The result of ``check-agent``."""
    blocks: list[Block] = [Heading(text=_title(result)), _compared(result)]
    if not result["prompt_shown"]:
        blocks.append(f"! the prompt was not checked: {result['not_shown']}")
    blocks += [*_lacking(result), *_variables(result)]
    if result["unused"]:
        blocks.append(f"not used by the prompt: {', '.join(result['unused'])}")
    if result["other_agents"]:
        others = ", ".join(result["other_agents"])
        blocks.append(f"it may hand the call to {others}, whose prompts were not checked (--agent ID)")
    return blocks


def _lacking(result: Result) -> list[Block]:
    """The variables without a value, each in a line; or that there are none."""
    of = _jobs(result)
    blocks: list[Block] = []
    for row in result["variables"]:
        named = f"{{{{{row['name']}}}}} ({', '.join(row['places'])})"
        if row["given_by"] == "nobody":
            similar = f"; is it {{{{{row['similar']}}}}}?" if row["similar"] else ""
            blocks.append(f"! missing: {named}: none of {of} has it{similar}")
        elif row["given_by"] == "some_jobs":
            blocks.append(f"! empty: {named}: {row['jobs_without']} of {of} have no value for it")
    if blocks:
        return [*blocks, "  the agent says the braces where a variable has no value"]
    if result["prompt_shown"] and result["jobs"]:
        return [f"every variable of the prompt has a value, for {of}"]
    return []


def _variables(result: Result) -> list[Block]:
    rows = sorted(result["variables"], key=lambda row: (_rank(row["given_by"]), row["name"]))
    if not rows:
        return ["the prompt names no variable: everybody hears the same"] if result["prompt_shown"] else []
    shown = [
        [row["name"], _given(row), row["jobs_without"] if result["jobs"] else "", ", ".join(row["places"])]
        for row in rows
    ]
    return [table("variables of the prompt", "name value_from #jobs_without named_in", shown)]


def _title(result: Result) -> str:
    name = f" ({result['agent_name']})" if result["agent_name"] else ""
    published = {True: ", published", False: ", not published"}.get(result["published"], "")
    version = "" if result["version"] is None else f", version {result['version']}"
    languages = f", {' '.join(result['languages'])}" if result["languages"] else ""
    return f"{result['agent_id']}{name}{version}{published}{languages}"


def _compared(result: Result) -> str:
    if result["batch_id"] is None:
        return "not compared with any people: --batch BATCH does that"
    name = f" ({result['name']})" if result["name"] else ""
    if not result["jobs"]:
        return f"no job of {result['batch_id']}{name} waits, so there is nothing to compare with"
    return f"compared with {_jobs(result)} of {result['batch_id']}{name}"


def _jobs(result: Result) -> str:
    jobs = plural(int(result["jobs"]), "waiting job")
    return jobs if result["all_jobs"] else f"the first {jobs}"


def _given(row: Result) -> str:
    return _GIVEN.get(row["given_by"], str(row["given_by"]))


def _rank(given: str) -> int:
    return _ORDER.index(given) if given in _ORDER else len(_ORDER)


def agents(result: Result) -> list[Block]:
    """The result of ``agents``."""
    rows = [
        [
            row["agent_id"],
            row["name"],
            row["version"],
            " ".join(row["languages"]),
            {True: "yes", False: "no"}.get(row["published"], ""),
            "suspended" if row["suspended"] else "in use" if row["in_use"] else "",
        ]
        for row in result["agents"]
    ]
    blocks: list[Block] = (
        [table("", "agent name #version language published _", rows)]
        if rows
        else ["Retell has no agent for voice calls"]
    )
    unread = sum(not row["details"] for row in result["agents"])
    if unread:
        blocks.append(f"of {plural(unread, 'agent')} Retell did not tell more in time")
    return [*blocks, *_rest(result), *_unlisted(result, "agents", "agent", "agent_id")]


def numbers(result: Result) -> list[Block]:
    """The result of ``numbers``."""
    rows = [
        [
            row["number"],
            row["nickname"],
            " ".join(row["outbound_countries"]) or "all",
            _bound(row["outbound_agents"]),
            _bound(row["inbound_agents"]),
            "in use" if row["in_use"] else "",
        ]
        for row in result["numbers"]
    ]
    blocks: list[Block] = (
        [table("", "number nickname may_call calls_as answers_as _", rows)]
        if rows
        else ["Retell has no phone number"]
    )
    return [*blocks, *_rest(result), *_unlisted(result, "numbers", "number", "number")]


def _bound(bound: Sequence[Any]) -> str:
    return ", ".join(
        each["agent_id"] + ("" if each["version"] is None else f" ({each['version']})") for each in bound
    )


def _rest(result: Result) -> list[Block]:
    return ["there are more: --limit shows them"] if result["has_more"] else []


def _unlisted(result: Result, rows: str, what: str, key: str) -> list[Block]:
    """A remark where this host's own is not in the whole list."""
    if result["has_more"] or any(row[key] == result["in_use"] for row in result[rows]):
        return []
    return [f"! this host uses the {what} {result['in_use']}, which Retell does not list"]
