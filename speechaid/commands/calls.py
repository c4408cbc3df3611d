"""``call`` and ``recording``: one call with what was said in it, and the address of its recording."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from speechaid.commands.agent_check import retell_refusal
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Invocation, Result
from speechaid.commands.jobs import CALL_FIELDS, call_row, erased_fields
from speechaid.commands.retell_questions import ask_retell
from speechaid.model.call import Call
from speechaid.model.erasure import ERASED
from speechaid.model.masking import mask_each
from speechaid.model.reading import Document, mapping, sequence, text
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import N_, say
from speechaid.retell.client import RetellClient
from speechaid.retell.faults import RetellError
from speechaid.retell.requests_body import VARIABLES
from speechaid.store.connection import Store

#: The longest that ``recording`` waits for Retell, in seconds.
RETELL_SECONDS: Final = 10.0


def call(context: HandlerContext, command: Invocation) -> Result:
    """One recorded call: how it ended, what was said, what the agent was told and what it collected."""
    result = find_call(context.store, command.args["call"])
    contact = mapping(result.get("contact"))
    phones = [str(phone) for phone in sequence(contact.get("phones"))]
    phones += [] if contact.get("phone_used") in {None, *phones} else [str(contact["phone_used"])]
    row = call_row(result, dict(zip(phones, mask_each(phones), strict=True)))
    erased = ERASED in result
    return {
        **dict.fromkeys((*CALL_FIELDS, "from_number")),
        **row,
        "job_id": text(result.get("job_id")),
        "batch_id": text(result.get("batch_id")),
        "account_id": text(result.get("account_id")),
        "name": None if erased else text(contact.get("name")),
        "promised": None if erased else mapping(result.get("promised")) or None,
        "recording": not erased and text(mapping(result.get("call_data")).get("recording_url")) is not None,
        **call_content(context.store, result),
    }


def call_content(store: Store, result: Document) -> Result:
    """What was said, what the agent was told and what it collected; the currency of the charge."""
    data, mark = mapping(result.get("call_data")), mapping(result.get("test"))
    sent = mapping(mark.get("variables")) or mapping(data.get(VARIABLES))
    collected = mapping(data.get("collected_dynamic_variables"))
    account_id = text(result.get("account_id"))
    account = None if account_id is None else store.accounts.find(account_id)
    names = [*sent, *(name for name in collected if name not in sent)]
    if ERASED in result:
        names = []  # what is left of them says nothing
    return {
        "currency": None if account is None else account.currency,
        "transcript": data.get("transcript"),
        "variables": [
            {"name": name, "sent": sent.get(name), "collected": collected.get(name)} for name in names
        ],
        **erased_fields(result),
    }


def recording(context: HandlerContext, command: Invocation) -> Result | Continue:
    """The address of a call's recording, as Retell gives it now: the address that was stored expires."""
    call_id = command.args["call"]
    result = find_call(context.store, call_id)
    if ERASED in result:
        raise CommandRefused(
            ErrorCode.REFUSED, say("what was said in call {call_id} is erased", call_id=call_id)
        )
    missing = say("Retell has no recording of call {call_id}", call_id=call_id)

    def question(client: RetellClient) -> Call:
        return client.get_call(call_id)

    def then(_context: HandlerContext, answer: Call | RetellError) -> Result:
        if isinstance(answer, RetellError):
            raise retell_refusal(answer, missing)
        address = text(answer.document.get("recording_url")) or ""
        if urlsplit(address).scheme != "https":
            raise CommandRefused(ErrorCode.NOT_FOUND, missing)
        return {"call_id": call_id, "url": address}

    command.progress({"state": N_("asking Retell")})
    return ask_retell(context, question, then, within_seconds=RETELL_SECONDS)


def find_call(store: Store, call_id: str, account_id: str | None = None) -> Document:
    """The result of a call; with an account, only one of its own.

    Raises:
        CommandRefused: there is none.
    """
    result = store.results.of_call(call_id)
    if result is None or (account_id is not None and text(result.get("account_id")) != account_id):
        message = say(
            "no call {call_id} is recorded: a call is recorded when it has ended", call_id=repr(call_id)
        )
        raise CommandRefused(ErrorCode.NOT_FOUND, message)
    return result
