"""The numbers that are registered for test calls: list, add, remove."""

from __future__ import annotations

from typing import Final

from speechaid.commands.ids import resolve_account
from speechaid.commands.interfaces import CommandRefused, HandlerContext, Invocation, Result
from speechaid.model.masking import mask_each, mask_phone, mask_prose
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say
from speechaid.rules.numbers import Fault, Number, read

#: More are no telephones of colleagues.
MAX_NUMBERS: Final = 50


def registered_numbers(context: HandlerContext, _command: Invocation) -> Result:
    """The registered numbers, masked, with who registered them."""
    found = context.store.test_calls.find_numbers()
    listed = context.store.do_not_call.listed([one.number for one in found])
    shown = mask_each([one.number for one in found])
    return {
        "numbers": [
            {
                "number": masked,
                "note": one.note,
                "account_id": one.account_id,
                "by": one.by,
                "at": one.at,
                "on_do_not_call_list": one.number in listed,
                "latest": one.latest,
            }
            for one, masked in zip(found, shown, strict=True)
        ]
    }


def test_number_add(context: HandlerContext, command: Invocation) -> Result:
    """Register a number, or write anew what is given of its note and account; the rest stays."""
    number = typed_number(context, command, command.args["number"])
    name, note = command.args["account"], command.args["note"]
    account_id = None if name is None else resolve_account(context.store, name).account_id
    tests = context.store.test_calls
    known = tests.find_number(number.e164)
    if known is None and len(tests.find_numbers()) >= MAX_NUMBERS:
        message = say(
            "{MAX_NUMBERS} numbers are registered, the most: test-number-remove makes room",
            MAX_NUMBERS=MAX_NUMBERS,
        )
        raise CommandRefused(ErrorCode.REFUSED, message)
    note = None if note is None else mask_prose(note)
    if known is not None:
        note = known.note if note is None else note
        account_id = known.account_id if account_id is None else account_id
    tests.add_number(number.e164, account_id=account_id, note=note, by=command.actor)
    return {
        "number": mask_phone(number.e164),
        "account_id": account_id,
        "note": note,
        "was_registered": known is not None,
        "on_do_not_call_list": bool(context.store.do_not_call.listed([number.e164])),
    }


def test_number_remove(context: HandlerContext, command: Invocation) -> Result:
    """Remove a number; a test call to it that is not placed yet is not placed any more."""
    number = typed_number(context, command, command.args["number"])
    removed = context.store.test_calls.remove_number(number.e164)
    return {"number": mask_phone(number.e164), "was_registered": removed}


def typed_number(context: HandlerContext, command: Invocation, typed: str) -> Number:
    """The one valid number that is meant.

    Raises:
        CommandRefused: it is none.
    """
    country = command.args["country"] or context.settings.dialling.default_country
    found = read(typed, country)
    if isinstance(found, Number) and found.is_valid:
        return found
    why = say(found) if isinstance(found, Fault) else say("its country's numbering plan does not have it")
    message = say(
        "that is not a phone number ({why}): write it with its country code, +56..., or give --country",
        why=why,
    )
    raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
