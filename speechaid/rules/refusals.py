"""Whose fault a refused create is, from the wording of the refusal, as a table. Pure: no I/O, no clock.

Retell passes on what its carriers say, so one status (400, 422) stands for the number's fault, the account's
and the request's. The number is at fault only where the text says that the number itself is malformed,
unassigned or unreachable; quoting the number is not enough. Rows are tried in order and the first match
decides: what names an account, a country, a permission, a limit or a plan comes before what faults a number,
because the wrong blame would spend the attempts of every waiting job.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Final

from speechaid.protocol.translation import say_later


class Blame(StrEnum):
    """What a refusal faults."""

    #: The number called is malformed, unassigned or unreachable.
    NUMBER = "number"
    #: The number called is marked as do-not-call.
    DO_NOT_CALL = "do_not_call"
    #: The account, its country permissions, limits or plan, its own number, its agent, or every request.
    ACCOUNT = "account"
    #: The wording does not say.
    UNCLEAR = "unclear"


@dataclass(frozen=True, kw_only=True)
class Wording:
    """One row: a kind of refusal, how it is recognised, and what an operator can do."""

    name: str
    blame: Blame
    #: Searched in the plain text (``plain``): lower case, words separated by single spaces.
    pattern: str
    #: Texts from the field; ``{to}`` and ``{from}`` are the numbers. The simulator speaks them.
    examples: tuple[str, ...]
    remedy: str = ""

    def is_said_in(self, text: str) -> bool:
        """Whether the row recognises this plain text."""
        return re.search(self.pattern, text) is not None


#: How a refusal refers to the number called.
_NUMBER: Final = (
    r"(?:\bto (?:phone )?numbers?\b|\bto number\b|'to'|\"to\"|\bdestinations?\b|\brecipient|\bcallee\b"
    r"|\bphone numbers?\b|\b(?:the|this|that|called|dial+ed) number\b|\bnumbers? \+"
    r"|\bnumber is\b|\be\.? ?164\b)"
)
#: What can be wrong with a number itself: it is malformed, unassigned, or unreachable.
_DEFECT: Final = (
    r"(?:\binvalid\b|\bnot (?:a |in )?valid\b|\bappear to be valid\b|\bmalformed\b|\bbad\b|\bincorrect\b"
    r"|\bmust be\b|\bwrong format\b|\btoo (?:short|long)\b|\bnot e\.? ?164\b|\bcannot be parsed\b"
    r"|\bunassigned\b|\bunallocated\b|\bnot assigned\b|\bnot in service\b|\bout of service\b|\bdisconnected\b"
    r"|\bdoes not exist\b|\bno such number\b|\bvacant\b"
    r"|\bunreachable\b|\bnot reachable\b|\bcannot be (?:reached|called|dialled|dialed)\b)"
)
_MARK: Final = r"(?:do not call|dnc)"

WORDINGS: Final[tuple[Wording, ...]] = (
    Wording(
        name="do_not_call",
        blame=Blame.DO_NOT_CALL,
        pattern=rf"\b(?:marked|listed|is|on (?:the|a|an|your|our)(?: \w+){{0,3}}?)(?: as)?(?: an?)? {_MARK}\b"
        rf"|\b{_MARK} (?:list|registry) (?:contains|includes|has)\b",
        examples=(
            "to_number belongs to a contact that is marked do_not_call",
            "The contact is on the internal Do Not Call list",
        ),
    ),
    # Twilio 21210, 21212, 21606; Telnyx D35, D36.
    Wording(
        name="caller_number",
        blame=Blame.ACCOUNT,
        pattern=r"\bfrom (?:phone )?numbers?\b|'from'|\"from\"|\bcaller(?: ?id)?\b|\boriginat"
        r"|\b(?:calling|outbound|source)(?: phone)? number\b",
        examples=(
            "Outbound call from_number {from} is not a number of this workspace",
            "The source phone number provided, {from}, is not yet verified for your account",
            "Caller Origination Number is Invalid D35",
            "from_number {from} cannot call to_number {to}",
        ),
        remedy=say_later(
            "RETELL_FROM_NUMBER must be a number of the account that may call out: correct it,"
            " or verify the number at the carrier"
        ),
    ),
    # Twilio 21215, 13227; Telnyx D13; Retell: allowed_outbound_country_list.
    Wording(
        name="country",
        blame=Blame.ACCOUNT,
        pattern=r"\bcountr(?:y|ies)\b(?! codes?\b)|\binternational\b|\bregions?\b|\bgeo\b|\bgeographic",
        examples=(
            "Account not authorized to call {to}. Perhaps you need to enable some international permissions",
            "account not authorized to call {to}; enable the country",
            "Dialed number {to} is not included in whitelisted countries D13",
            "Country of to_number {to} is not in the allowed outbound country list of the phone number",
        ),
        remedy=say_later(
            "allow calls to this country for the calling number, in Retell's dashboard (allowed"
            " outbound countries) or at the carrier (geographic permissions)"
        ),
    ),
    # Telnyx D12; Twilio trial accounts (21219, 21608).
    Wording(
        name="plan",
        blame=Blame.ACCOUNT,
        pattern=r"\bplans?\b|\btrial\b|\bupgrade|\bsubscription|\bfeature\b|\btier\b",
        examples=(
            "Destination Number {to} is not allowed for service plan basic D12",
            "The number {to} is unverified. Trial accounts may only make calls to verified numbers.",
            "Your plan does not include outbound calls; upgrade to call {to}",
        ),
        remedy=say_later("change the plan of the Retell or carrier account, or end its trial"),
    ),
    # Twilio 20005; Telnyx D19.
    Wording(
        name="payment",
        blame=Blame.ACCOUNT,
        pattern=r"\bpayments?\b|\bbilling\b|\bcredits?\b|\bbalance\b|\bfunds\b|\binvoices?\b|\bcard\b"
        r"|\bbudget\b|\bunpaid\b",
        examples=(
            "Insufficient credit to call {to}. Please add a payment method.",
            "Account blocked due to insufficient balance D19",
        ),
        remedy=say_later("add credit or a payment method in Retell's dashboard, or at the carrier"),
    ),
    # Telnyx D1, D2, D3, D22, D24.
    Wording(
        name="limit",
        blame=Blame.ACCOUNT,
        pattern=r"\blimit(?:s|ed|ation)?\b|\bquota\b|\btoo many\b|\bconcurren|\bthrottl"
        r"|\bper (?:second|minute|hour|day|month)\b|\bcapacity\b",
        examples=(
            "Daily call limit of the account reached, {to} was not called",
            "User channel limit exceeded D1",
            "Quota exceeded for outbound calls",
        ),
        remedy=say_later(
            "raise the limit in Retell's dashboard or at the carrier, or lower the number of workers"
        ),
    ),
    Wording(
        name="agent",
        blame=Blame.ACCOUNT,
        pattern=r"\bagents?\b|\bllm\b|\bconversation flow\b",
        examples=(
            "override_agent_id is unknown",
            "Agent has been banned for violating the terms of use; {to} was not called",
            "Agent is not published",
        ),
        remedy=say_later(
            "RETELL_AGENT_ID must name a published agent that may call out: see it in Retell's dashboard"
        ),
    ),
    # Telnyx D18, D38; SIP answers of an own trunk.
    Wording(
        name="trunk",
        blame=Blame.ACCOUNT,
        pattern=r"\btrunks?\b|\bsip\b|\bcarriers?\b|\btermination\b|\bproviders?\b|\bvoice profile\b"
        r"|\bconnection\b",
        examples=(
            "SIP trunk refused the call to {to}: 403 Forbidden",
            "No outbound voice profile assigned to connection D38",
        ),
        remedy=say_later(
            "check the trunk's address, credentials and outbound profile at the carrier and in Retell"
        ),
    ),
    # Twilio 20003, 21216; Telnyx D10 to D17.
    Wording(
        name="permission",
        blame=Blame.ACCOUNT,
        pattern=r"\bpermi(?:ssions?|tted)\b|\bauthori[sz]|\bunauthori[sz]"
        r"|\bnot (?:allowed|enabled|eligible)\b"
        r"|\bforbidden\b|\bdisabled\b|\bdenied\b|\bprohibited\b|\bwhitelist|\ballow ?list",
        examples=(
            "Calls to {to} are not allowed",
            "Outbound calling is disabled",
            "Permission denied for destination {to}",
        ),
        remedy=say_later("give the API key and the calling number the permission to call out"),
    ),
    Wording(
        name="api_key",
        blame=Blame.ACCOUNT,
        pattern=r"\bapi ?key\b|\bcredentials?\b|\bauthenticat",
        examples=("API key is missing or invalid.", "Authentication failed"),
        remedy=say_later("correct RETELL_API_KEY and restart the daemon"),
    ),
    Wording(
        name="account",
        blame=Blame.ACCOUNT,
        pattern=r"\baccounts?\b|\borgani[sz]ations?\b|\borg\b|\bworkspace\b|\bkyc\b"
        r"|\b(?:un)?verif|\bcompliance\b|\bsuspended\b|\bbanned\b|\bspam|\bfraud|\babuse|\bscam",
        examples=(
            "Organization is suspended",
            "Outbound calls to {to} require KYC",
            "Your number was flagged as spam",
        ),
        remedy=say_later("see the account's state and its messages in Retell's dashboard"),
    ),
    # A field that every request has, with the same value or from the same setting.
    Wording(
        name="request",
        blame=Blame.ACCOUNT,
        pattern=r"\bhonor internal dnc\b|\bidempotency key\b|\bring duration\b|\bmax call duration\b"
        r"|\bcustom sip headers\b|\bignore e164 validation\b",
        examples=("honor_internal_dnc must be a boolean",),
        remedy=say_later("Retell no longer accepts the requests of this version: upgrade speechaid"),
    ),
    Wording(
        name="other_do_not_call",
        blame=Blame.DO_NOT_CALL,
        pattern=rf"\b{_MARK}\b",
        examples=("{to}: do-not-call",),
    ),
    # Twilio 21211, 21214, 21217, 13223, 13224, 13226; Telnyx 10002, 10016, D11.
    Wording(
        name="number",
        blame=Blame.NUMBER,
        pattern=rf"(?=.*{_NUMBER})(?=.*{_DEFECT})|\b(?:invalid|unknown) country code\b",
        examples=(
            "to_number is not a valid E.164 phone number",
            "The phone number you are attempting to call, {to}, is not valid.",
            "Phone number does not appear to be valid",
            "'To' phone number cannot be reached",
            "Destination Number {to} is invalid D11",
            "Phone number must be in +E.164 format",
            "Invalid country code",
            "The called number {to} is unallocated",
            "The number {to} is not in service",
        ),
        remedy=say_later("correct the number in the contact"),
    ),
)

_NOT_WORDS: Final = re.compile(r"[_\s-]+")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
#: What differs between two refusals of one kind: a word with one of these is a number, an id or an address.
_SPECIFIC: Final = re.compile(r"[\d@*]")
#: Characters of a wording that are compared and stored.
WORDING_LENGTH: Final = 160
#: A create of fewer bytes is nowhere too large: a 413 to it is the fault of what refuses it, for example a
#: proxy on the way, and so of every request. A common create has 1 to 3 kB; proxies allow 1 MB by default.
SMALL_REQUEST_BYTES: Final = 100_000


def plain(text: str) -> str:
    """A text as the patterns expect it: lower case, field names and camel case split into words."""
    return _NOT_WORDS.sub(" ", _CAMEL.sub(" ", text)).lower().strip()


def wording_of(text: str) -> Wording | None:
    """The first row that recognises a refusal; None: it is unclear what is at fault."""
    words = plain(text)
    return next((wording for wording in WORDINGS if wording.is_said_in(words)), None)


def blame_for(text: str) -> Blame:
    """What a refusal faults."""
    wording = wording_of(text)
    return Blame.UNCLEAR if wording is None else wording.blame


def mask_wording(text: str) -> str:
    """A refusal with numbers and ids masked, so that two of one kind are equal; has no phone number."""
    masked = ("#" if _SPECIFIC.search(word) else word for word in text.lower().split())
    return " ".join(word for word, _ in groupby(masked))[:WORDING_LENGTH]
