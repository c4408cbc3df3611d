"""Sentences of the daemon as the page's readers need them: what to click, in place of what to type; data.

The daemon makes its sentences for ``speechctl``. An answer to a user of the page gets those of ``SENTENCES``
in their other form (``for_page``), before it is put into the user's language. A test asserts that each is a
sentence of the sources, and that none of the other forms names a command.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from speechaid.protocol.translation import N_, Translatable

#: By the sentence that is for ``speechctl``, the one for the page.
SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "there is no {kind} {prefix!r} (speechctl {listed_by} lists them)": N_(
            "there is no {kind} {prefix!r}"
        ),
        "batch {batch_id} was cancelled{by}, for good, and cannot be {verb}: "
        "create-batch NAME --copy-from {batch_id} makes a new one of the same settings": N_(
            "the campaign was cancelled{by}, for good, and cannot be {verb}: make a new one"
        ),
        "batch {batch_id} was paused or resumed meanwhile: see speechctl batches": N_(
            "somebody else has paused or started the campaign meanwhile: load its page again"
        ),
        "there are no calling hours, so people would be called day and night: {remedy}, "
        "or set SPEECHAID_DEFAULT_ALLOWED_HOURS (--hours 00:00-24:00 calls at any time)": N_(
            "the campaign has no hours, so people would be called day and night: a manager "
            "gives it some with Change the hours"
        ),
        "without hours people would be called day and night: pause-batch first, or set "
        "SPEECHAID_DEFAULT_ALLOWED_HOURS (--hours 00:00-24:00 calls at any time)": N_(
            "without hours people would be called day and night: pause the campaign first"
        ),
        "it has no calling hours yet; resume-batch {batch_id} --hours 09:00-19:00 starts it": N_(
            "it has no hours yet: Change the hours gives it some"
        ),
        "people are called from {start} through midnight until {end} the next day; for "
        "calls by day write --hours {end}-{start}": N_(
            "people are called from {start} through midnight until {end} the next day; for "
            "calls by day write {end} to {start}"
        ),
        "start-at: {start} is over: it is {now} in {zone}": N_("this time is over: it is {now} in {zone}"),
        "start-at: {text!r} is not a time; write 2026-12-01T09:00 (24-hour clock)": N_(
            "that is not a day and a time: write for example 2026-12-01 and 09:00"
        ),
        "unhold, where an operator holds it": N_(
            "a manager allows calls again with the button in the red bar"
        ),
        "imported and not started: speechctl resume-batch {batch_id}": N_(
            "imported and not started: Start calling, on the campaign's page, starts it"
        ),
        "stays suspended until that, or speechctl resume-job": N_(
            "stays set aside until that, or until somebody lets this person be called again"
        ),
        "stays suspended until speechctl resume-job": N_(
            "stays set aside until somebody lets this person be called again"
        ),
        "no job is of such a person, so there is nothing to record (speechctl person shows more)": N_(
            "no campaign has such a person, so there is nothing to record"
        ),
        "that person has jobs of several accounts, so give --account: {named_accounts}": N_(
            "that person is in campaigns of several accounts ({named_accounts}): somebody "
            "of the account has to record it"
        ),
        "Retell has no agent {agent_id!r} (speechctl agents lists them)": N_(
            "Retell has no agent {agent_id!r}: the screen Agents has those that there are"
        ),
        "Retell has no agent {agent} (speechctl agents lists those that it has)": N_(
            "Retell has no agent {agent}: the screen Agents has those that there are"
        ),
        "the agent {agent} has no version {version} at Retell (edit-batch --agent-version)": N_(
            "the agent {agent} has no version {version} at Retell"
        ),
        "Retell does not have {number} (speechctl numbers lists those that it has)": N_(
            "Retell does not have {number}: the screen Agents has the numbers that there are"
        ),
        "the agent's prompt names variables that have no value: {named}{more}; the "
        "agent would say the braces: speechctl check-agent --batch {batch_id}": N_(
            "the agent's text names what has no value for somebody: {named}{more}; the "
            "agent would say the braces"
        ),
        "edit-batch {batch_id} --agent {agent_id}": N_("choose the agent {agent_id}"),
        "{e164} is not registered for test calls of this batch's account: speechctl "
        "test-number-add NUMBER; test-numbers lists them": N_(
            "{e164} is not registered for test calls of this account: an administrator registers it"
        ),
        "the number is on the do-not-call list: dnc-remove allows calls to it again": N_(
            "the number is on the do-not-call list: the screen Do not call takes it off"
        ),
        "that is not a phone number ({why}): write it with its country code, +56..., or give --country": N_(
            "that is not a phone number ({why}): write it with its country code, +56..."
        ),
        "that is not a phone number ({fault}): no job could be dialled with it, so "
        "nothing is changed; write it with its country code, +56..., or give --country": N_(
            "that is not a phone number ({fault}), so nothing is changed: write it with its "
            "country code, +56..."
        ),
        "account {account_id} is {status}, and resume-account resumes suspended ones: "
        "edit-account {account_id} --status active makes it active": N_(
            "account {account_id} is {status}, not suspended: whoever looks after the server makes it active"
        ),
        "the {owner}'s country {found!r} is not a country code: give --country, such as CL": N_(
            "country: the {owner}'s country {found!r} is not a country code: type the "
            "country of the telephones, such as CL"
        ),
        "no column of phone numbers: name it phone, phone1, telefono, celular or "
        "similar, or say which one it is with --map 'TITLE=phone'; the file has "
        "{listed}": N_(
            "no column of phone numbers: name it phone, phone1, telefono, celular or "
            "similar; the file has {listed}"
        ),
        "nothing was imported: the same file is in batch {batch_id} already, imported "
        "{started_at:%Y-%m-%d %H:%M} UTC by {by}; --batch {batch_id} completes it, "
        "--duplicates keep imports it once more": N_(
            "nothing was imported: the same file is in the campaign {batch_id} already, "
            "imported by {by}; to import it once more, keep the duplicates in the step "
            "Check"
        ),
        "nothing was imported: everybody in the file ({count} person) is in the account "
        "already ({counts}; line {line}: job {job_id} of batch {batch_id}); "
        "--duplicates keep imports them all the same": N_(
            "nothing was imported: everybody in the file ({count} person) is in the account "
            "already ({counts}); to import them all the same, keep the duplicates in the "
            "step Check"
        ),
        "nothing was imported: everybody in the file ({count} people) is in the account "
        "already ({counts}; line {line}: job {job_id} of batch {batch_id}); "
        "--duplicates keep imports them all the same": N_(
            "nothing was imported: everybody in the file ({count} people) is in the account "
            "already ({counts}); to import them all the same, keep the duplicates in the "
            "step Check"
        ),
        "nothing was imported: no number of the {count} person may be called: it stands "
        "under three people or more of the account, or the person is on the do-not-call "
        "list (--accept shared keeps such numbers)": N_(
            "nothing was imported: no number of the {count} person may be called: it stands "
            "under three people or more of the account, or the person is on the do-not-call "
            "list"
        ),
        "nothing was imported: no number of the {count} people may be called: it stands "
        "under three people or more of the account, or the person is on the do-not-call "
        "list (--accept shared keeps such numbers)": N_(
            "nothing was imported: no number of the {count} people may be called: it stands "
            "under three people or more of the account, or the person is on the do-not-call "
            "list"
        ),
        "nothing was imported: everybody in the file ({count} person) has opted out by "
        "national id (speechctl dnc ID)": N_(
            "nothing was imported: everybody in the file ({count} person) is on the "
            "do-not-call list by national id"
        ),
        "nothing was imported: everybody in the file ({count} people) has opted out by "
        "national id (speechctl dnc ID)": N_(
            "nothing was imported: everybody in the file ({count} people) is on the "
            "do-not-call list by national id"
        ),
        "{exc}: the import is incomplete; import the same file again with --batch {batch_id}": N_(
            "{exc}: the import is incomplete: take the campaign back, and import the file again"
        ),
        "{count} contact of the import {import_id} was called, or changed since: "
        "nothing was taken back; cancel-batch {batch_id} ends the calls of its batch": N_(
            "{count} person was called, or changed since: nothing was taken back; Cancel "
            "the campaign ends its calls"
        ),
        "{count} contacts of the import {import_id} were called, or changed since: "
        "nothing was taken back; cancel-batch {batch_id} ends the calls of its batch": N_(
            "{count} people were called, or changed since: nothing was taken back; Cancel "
            "the campaign ends its calls"
        ),
        "another redial-batch of this batch has just ended: see speechctl batches": N_(
            "somebody else has just had those not reached called again: see the list of campaigns"
        ),
        "an earlier redial-batch was interrupted: complete {batch_id} by repeating it "
        "with --outcomes {words}, or cancel-batch {batch_id}": N_(
            "an earlier call of those not reached was interrupted: choose it again to "
            "complete {batch_id}, or cancel that campaign"
        ),
        "{short_title}: {one_line!r}: the person is not called; speechctl dnc-add puts "
        "the number on the do-not-call list, which holds for every file": N_(
            "{short_title}: {one_line!r}: the person is not called; the screen Do not call "
            "puts the number on the list, which holds for every file"
        ),
        "{short_title}: {one_line!r} is neither yes nor no: nobody is called on a "
        "guess; --map '{key}=variable' takes the column for something else": N_(
            "{short_title}: {one_line!r} is neither yes nor no: nobody is called on a "
            "guess; the step Columns takes the column for something else"
        ),
        "--map '{title}=country-code' reads the row's numbers and dates by it": N_(
            "the step Columns can say that {title} is the country code of the telephone"
        ),
        "{where} looks like phone numbers and is left out: --map '{title}=phone' dials "
        "them, --map '{title}=variable' gives them to the agent": N_(
            "{where} looks like phone numbers and is left out: the step Columns has them "
            "dialled, or told to the agent"
        ),
        "{where} has dates as {example!r}, and the agent gets them as they are written: "
        "--map '{key}=due-date:{order}' has one column of dates said in words": N_(
            "{where} has dates as {example!r}, and the agent gets them as they are written: "
            "the step Columns has one column of dates said in words"
        ),
        "{where} is hidden in the sheet and is left out: --map '{key}=ROLE' uses it": N_(
            "{where} is hidden in the sheet and is left out: the step Columns uses it"
        ),
        "column {number} has no title and is left out: --map {number}=variable": N_(
            "column {number} has no title and is left out: the step Columns uses it"
        ),
        "the same contact as line {earlier}, and no column is the reference of a debt: "
        "if both are meant, say which column is, with --map 'TITLE=reference'": N_(
            "the same contact as line {earlier}, and no column is the reference of a debt: "
            "if both are meant, say in the step Columns which one is"
        ),
        "{title}: {text!r} may be {days} or {days_2}, and the column has dates {seen}: "
        "--map '{key}=due-date:dmy' or '{key}=due-date:mdy' says which is right": N_(
            "{title}: {text!r} may be {days} or {days_2}, and the column has dates {seen}: "
            "say in the step Columns whether the day or the month is first"
        ),
        "{title}: dates are read {ORDER_NAMES}, as those are written that can be read "
        "in one way only, such as {example!r} on line {line}: --map "
        "'{key}=due-date:{back}' reads them {ORDER_NAMES_2}": N_(
            "{title}: dates are read {ORDER_NAMES}, as those are written that can be read "
            "in one way only, such as {example!r} on line {line}: the step Columns reads "
            "them {ORDER_NAMES_2}"
        ),
        "; of the workbook only {sheet!r} was read, not {unread} (--sheet)": N_(
            "; of the workbook only {sheet!r} was read, not {unread}: the step Columns reads another sheet"
        ),
        "day and month are not in the order that --map says, which is used where both are 12 or less": N_(
            "day and month are not in the order that was chosen, which is used where both are 12 or less"
        ),
        "row: line {line} is hidden: --with-hidden-rows reads it": N_(
            "row: line {line} is hidden: the step Columns can read hidden rows"
        ),
        "{filename}: no column is called as ids are: name it with --column": N_(
            "{filename}: no column is called as ids are"
        ),
    }
)


def for_page(value: Any) -> Any:
    """A copy of what JSON can hold whose sentences are for readers of the page."""
    if isinstance(value, Translatable):
        return value.with_sentences(SENTENCES)
    if isinstance(value, Mapping):
        return {key: for_page(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [for_page(part) for part in value]
    return value
