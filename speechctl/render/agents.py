"""The results of ``check-agent``, ``agents`` and ``numbers`` as blocks; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from speechaid.protocol.translation import N_, say, say_n
from speechctl.render.blocks import Block, Heading, Result, table

#: Who gives a variable its value, in words.
_GIVEN: Final = {
    "jobs": N_("every job"),
    "some_jobs": N_("some jobs"),
    "default": N_("the agent's default"),
    "retell": "Retell",
    "contacts": N_("Retell's contacts, if it has the person"),
    "call": N_("the call itself"),
    "nobody": N_("NOBODY"),
    "unknown": N_("the jobs (--batch compares)"),
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
    version = "" if agent["version"] is None else say(", version {version}", version=agent["version"])
    pinned = say(" (pinned)") if agent["version_source"] == "pinned" else ""
    return [
        say(
            "its agent is {agent_id}{version}{pinned}; it calls from {from_number}",
            agent_id=agent["agent_id"],
            version=version,
            pinned=pinned,
            from_number=agent["from_number"],
        )
    ]


def check_agent(result: Result) -> list[Block]:
    """The result of ``check-agent``."""
    blocks: list[Block] = [Heading(text=_title(result)), _compared(result)]
    if not result["prompt_shown"]:
        blocks.append(say("! the prompt was not checked: {not_shown}", not_shown=result["not_shown"]))
    blocks += [*_lacking(result), *_variables(result)]
    if result["unused"]:
        blocks.append(say("not used by the prompt: {unused}", unused=", ".join(result["unused"])))
    if result["other_agents"]:
        others = ", ".join(result["other_agents"])
        blocks.append(
            say(
                "it may hand the call to {others}, whose prompts were not checked (--agent ID)", others=others
            )
        )
    return blocks


def _lacking(result: Result) -> list[Block]:
    """The variables without a value, each in a line; or that there are none."""
    of = _jobs(result)
    blocks: list[Block] = []
    for row in result["variables"]:
        named = f"{{{{{row['name']}}}}} ({', '.join(row['places'])})"
        if row["given_by"] == "nobody":
            meant = f"{{{{{row['similar']}}}}}"
            similar = say("; is it {similar}?", similar=meant) if row["similar"] else ""
            blocks.append(
                say("! missing: {named}: none of {of} has it{similar}", named=named, of=of, similar=similar)
            )
        elif row["given_by"] == "some_jobs":
            blocks.append(
                say(
                    "! empty: {named}: {jobs_without} of {of} have no value for it",
                    named=named,
                    jobs_without=row["jobs_without"],
                    of=of,
                )
            )
    if blocks:
        return [*blocks, say("  the agent says the braces where a variable has no value")]
    if result["prompt_shown"] and result["jobs"]:
        return [say("every variable of the prompt has a value, for {of}", of=of)]
    return []


def _variables(result: Result) -> list[Block]:
    rows = sorted(result["variables"], key=lambda row: (_rank(row["given_by"]), row["name"]))
    if not rows:
        return (
            [say("the prompt names no variable: everybody hears the same")] if result["prompt_shown"] else []
        )
    shown = [
        [row["name"], _given(row), row["jobs_without"] if result["jobs"] else "", ", ".join(row["places"])]
        for row in rows
    ]
    return [table(say("variables of the prompt"), "name value_from #jobs_without named_in", shown)]


def _title(result: Result) -> str:
    name = f" ({result['agent_name']})" if result["agent_name"] else ""
    published = {True: say(", published"), False: say(", not published")}.get(result["published"], "")
    version = "" if result["version"] is None else say(", version {version}", version=result["version"])
    languages = f", {' '.join(result['languages'])}" if result["languages"] else ""
    return f"{result['agent_id']}{name}{version}{published}{languages}"


def _compared(result: Result) -> str:
    if result["batch_id"] is None:
        return say("not compared with any people: --batch BATCH does that")
    name = f" ({result['name']})" if result["name"] else ""
    if not result["jobs"]:
        return say(
            "no job of {batch_id}{name} waits, so there is nothing to compare with",
            batch_id=result["batch_id"],
            name=name,
        )
    return say(
        "compared with {jobs} of {batch_id}{name}", jobs=_jobs(result), batch_id=result["batch_id"], name=name
    )


def _jobs(result: Result) -> str:
    jobs = say_n("{count} waiting job", "{count} waiting jobs", int(result["jobs"]))
    return jobs if result["all_jobs"] else say("the first {jobs}", jobs=jobs)


def _given(row: Result) -> str:
    return say(_GIVEN.get(row["given_by"], str(row["given_by"])))


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
            {True: say("yes"), False: say("no")}.get(row["published"], ""),
            say("suspended") if row["suspended"] else say("in use") if row["in_use"] else "",
        ]
        for row in result["agents"]
    ]
    blocks: list[Block] = (
        [table("", "agent name #version language published _", rows)]
        if rows
        else [say("Retell has no agent for voice calls")]
    )
    unread = sum(not row["details"] for row in result["agents"])
    if unread:
        blocks.append(
            say_n(
                "of {count} agent Retell did not tell more in time",
                "of {count} agents Retell did not tell more in time",
                unread,
            )
        )
    return [*blocks, *_rest(result), *_unlisted(result, "agents", say("agent"), "agent_id")]


def numbers(result: Result) -> list[Block]:
    """The result of ``numbers``."""
    rows = [
        [
            row["number"],
            row["nickname"],
            " ".join(row["outbound_countries"]) or say("all"),
            _bound(row["outbound_agents"]),
            _bound(row["inbound_agents"]),
            say("in use") if row["in_use"] else "",
        ]
        for row in result["numbers"]
    ]
    blocks: list[Block] = (
        [table("", "number nickname may_call calls_as answers_as _", rows)]
        if rows
        else [say("Retell has no phone number")]
    )
    return [*blocks, *_rest(result), *_unlisted(result, "numbers", say("number"), "number")]


def _bound(bound: Sequence[Any]) -> str:
    return ", ".join(
        each["agent_id"] + ("" if each["version"] is None else f" ({each['version']})") for each in bound
    )


def _rest(result: Result) -> list[Block]:
    return [say("there are more: --limit shows them")] if result["has_more"] else []


def _unlisted(result: Result, rows: str, what: str, key: str) -> list[Block]:
    """A remark where this host's own is not in the whole list."""
    if result["has_more"] or any(row[key] == result["in_use"] for row in result[rows]):
        return []
    return [
        say(
            "! this host uses the {what} {in_use}, which Retell does not list",
            what=what,
            in_use=result["in_use"],
        )
    ]
