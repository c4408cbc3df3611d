"""The options of ``import`` that say how a file is read; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from speechaid.campaign.importer import Choices
from speechaid.campaign.kinds import KINDS, Kind
from speechaid.campaign.recognition import read_meaning
from speechaid.commands.interfaces import CommandRefused
from speechaid.errors import ImportFailed
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import joined, say


def read_choices(args: Mapping[str, Any], kept_mappings: Mapping[str, Mapping[str, str]]) -> Choices:
    """What the owner of the file says about it.

    Args:
        args: the command's.
        kept_mappings: of the account, by the key of their titles.
    """
    accepted = _kinds("accept", args["accept"])
    refused = _kinds("refuse", args["refuse"])
    both = sorted(accepted & refused)
    if both:
        message = say("{both} is both accepted and refused", both=both[0])
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    if args["remarks_are_bad"]:
        refused |= {kind for kind, policy in KINDS.items() if policy.can_change} - accepted
    return Choices(
        sheet=args["sheet"],
        header_row=args["header_row"],
        with_hidden_rows=args["with_hidden_rows"],
        mapping=read_mapping(args["map"] or ()),
        kept_mappings=kept_mappings,
        accepted=accepted,
        refused=refused,
    )


def read_mapping(texts: Sequence[str]) -> dict[str, str]:
    """``TITLE=ROLE`` options as a mapping; the reader checks the titles."""
    found: dict[str, str] = {}
    for text in texts:
        # The last sign separates: a title may hold one.
        title, sign, role = text.rpartition("=")
        title, role = title.strip(), role.strip()
        if not sign or not title or not role:
            message = say("map: {text!r} is not TITLE=ROLE; write for example 'Fono Casa=phone'", text=text)
            raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
        try:
            read_meaning(role)
        except ImportFailed as exc:
            raise CommandRefused(ErrorCode.BAD_ARGUMENT, str(exc)) from exc
        found[title] = role
    return found


def _kinds(option: str, given: str | None) -> frozenset[Kind]:
    allowed = [kind.value for kind, policy in KINDS.items() if policy.can_change]
    words = [word.strip() for word in (given or "").split(",") if word.strip()]
    for word in words:
        if word not in allowed:
            message = say(
                "{option}: {word!r} is not a kind of remark; allowed: {allowed}",
                option=option,
                word=word,
                allowed=joined(", ", allowed),
            )
            raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    return frozenset(Kind(word) for word in words)
