"""The calling rules of packs in the life of a dial: what is read, announced and settled of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from speechaid.campaign.people import id_key_of, keys_of_lines, line_key
from speechaid.compliance.pack_files import content_hash
from speechaid.compliance.packs import Pack
from speechaid.compliance.rule_case import PersonUnderRules
from speechaid.model.batch import Batch
from speechaid.model.job import Dial, Job
from speechaid.model.reading import Document, mapping, text
from speechaid.model.states import Outcome
from speechaid.model.verdict import Verdict
from speechaid.rules.checks import Check, Reason
from speechaid.rules.numbers import country_of_number, line_identity
from speechaid.rules.retry_table import RetryCause
from speechaid.rules.windows import Window, WindowFault
from speechaid.store.connection import Store
from speechaid.store.ledger import KEPT_BEYOND_DAYS
from speechaid.store.packs import PacksInForce

#: Reasons after which a job waits for a time that a pack gives, or for the pack itself.
WAITS: Final = frozenset({Reason.PACK_FAULT, Reason.PACK_HOURS, Reason.CAPS_NOT_READY, Reason.PACK_CAP})
#: A job is looked at again after so many seconds where its pack cannot be read, where the ledger is being
#: filled, and where no time is known at which it may be called.
FAULT_RETRY_SECONDS: Final = 300.0
FILL_RETRY_SECONDS: Final = 10.0
NO_CHANCE_RETRY_SECONDS: Final = 3600.0


def read_person(
    store: Store, job: Job, batch: Batch | None, in_force: PacksInForce, numbers: Collection[str]
) -> PersonUnderRules | None:
    """The person of a job under the packs of its batch's purpose; None: no purpose, or a test call.

    Args:
        store: of the packs and the ledger.
        job: names the person.
        batch: the job's.
        in_force: as read with the holds.
        numbers: all of the job's, in E.164.

    Raises:
        StoreUnavailable: without these data nothing may be dialled.
    """
    person = person_of(store, job, batch, in_force, numbers)
    return None if person is None else with_entries(store, [person])[0]


def person_of(
    store: Store, job: Job, batch: Batch | None, in_force: PacksInForce, numbers: Collection[str]
) -> PersonUnderRules | None:
    """As ``read_person``, without the ledger's entries."""
    purpose = None if batch is None else batch.call_settings.purpose
    if batch is None or purpose is None or job.test is not None:
        return None
    variant = batch.call_settings.pack_variant
    countries = {country for number in numbers if (country := country_of_number(number)) is not None}
    found = {
        country: store.packs.find(in_force.key_for(country, purpose, variant), in_force)
        for country in countries
    }
    key = id_key_of(job.contact.dni)
    return PersonUnderRules(
        purpose=purpose,
        packs={country: pack for country, pack in found.items() if pack is not None},
        fault=in_force.fault_for(purpose, variant),
        is_ready=in_force.is_ready,
        ids=frozenset(() if key is None else (key,)),
        lines=frozenset(map(line_identity, numbers)),
        account=job.account_id,
        debt=debt_of(job),
    )


def with_entries(store: Store, people: Sequence[PersonUnderRules]) -> list[PersonUnderRules]:
    """The same people with the entries that their caps may count, read in one query.

    Args:
        store: of the ledger.
        people: whose entries are read; each has those of the others, too, which do no harm.
    """
    capped = [person for person in people if person.has_caps]
    keys = {key for person in capped for key in (*person.ids, *map(line_key, person.lines))}
    entries = tuple(store.ledger.of_people(keys))
    return [replace(person, entries=entries) if person.has_caps else person for person in people]


def debt_of(job: Job) -> str | None:
    """The name of the debt that a job is about, where it has one."""
    return text(mapping(job.document.get("payload")).get("reference_number"))


def dial_facts(
    job: Job,
    number: str,
    *,
    numbers: Collection[str],
    in_force: PacksInForce,
    person: PersonUnderRules | None,
    batch: Window | WindowFault,
) -> Document | None:
    """What the ledger and the result have to know of a dial; None: no packs are in force, or it is a test.

    A dial under no pack is entered, too: it counts in the caps of the person's other batches, and without a
    purpose in those of every purpose.

    Args:
        job: the dial's.
        number: that is dialled, in E.164.
        numbers: all of the job's.
        in_force: the packs, as read with the holds.
        person: who is called; None: the batch names no purpose.
        batch: the batch's own hours, whose zone may be the callee's.
    """
    facts = facts_without_rule(job, number, numbers=numbers, in_force=in_force)
    if facts is None or person is None:
        return facts
    facts["purpose"], pack = str(person.purpose), person.pack_for(number)
    if not isinstance(pack, Pack):
        return facts
    zones = [zone.key for zone in person.zones_of(number, batch)]
    return {**facts, "pack": content_hash(pack), "rule": pack.name, "zones": zones}


def facts_without_rule(
    job: Job, number: str, *, numbers: Collection[str], in_force: PacksInForce
) -> Document | None:
    """As ``dial_facts``, of a dial that no pack allowed: without a purpose, or another program's."""
    if not in_force.is_stored or job.test is not None:
        return None
    lines = {number} if id_key_of(job.contact.dni) else {number, *numbers}
    return {
        "keys": keys_of_lines(job.contact.dni, sorted(map(line_identity, lines))),
        "account": job.account_id,
        "debt": debt_of(job),
        "purpose": None,
        "kept_days": in_force.span_days + KEPT_BEYOND_DAYS,
    }


def lacks_entry(
    job: Job, dial: Dial, *, in_force: PacksInForce, person: PersonUnderRules | None, is_replay: bool
) -> bool:
    """Whether a dial has to be in the ledger, and was not announced, or not under this purpose and pack.

    A replay under no pack is entered by ``maintenance.ledger_upkeep``: its first request was sent before
    packs were in force.
    """
    facts = dial.calling_rule or {}
    if person is not None and isinstance(pack := person.pack_for(dial.number), Pack):
        return (facts.get("purpose"), facts.get("rule")) != (str(person.purpose), pack.name)
    return in_force.is_stored and job.test is None and dial.calling_rule is None and not is_replay


def entry_end(dial: Dial, stored: Verdict) -> Document:
    """How a settled dial counts in the ledger: void where surely no call was placed."""
    if stored.result is None and stored.cause != RetryCause.CALL_UNKNOWN:
        return {"void": True}
    connected = (stored.result or {}).get("connected")
    outcome = None if stored.cause == RetryCause.CALL_UNKNOWN else str(stored.outcome)
    return {
        "void": False,
        "outcome": outcome,
        "connected": connected is True,
        "message_left": message_left(dial) if stored.outcome is Outcome.VOICEMAIL else None,
    }


def message_left(dial: Dial) -> bool | None:
    """Whether a voicemail got a message, by what the request asks for; None: the agent's own setting."""
    agent = mapping(mapping(dial.request.get("agent_override")).get("agent"))
    option = mapping(mapping(agent.get("voicemail_option")).get("action"))
    kind = text(option.get("type"))
    return None if kind is None else kind != "hangup"


def waiting_seconds(refusal: Check, now: datetime) -> float:
    """For how long a job waits that the calling rules refuse now."""
    if refusal.reason is Reason.PACK_FAULT:
        return FAULT_RETRY_SECONDS
    if refusal.reason is Reason.CAPS_NOT_READY:
        return FILL_RETRY_SECONDS
    if refusal.next_eligible_at is None:
        return NO_CHANCE_RETRY_SECONDS
    return max(1.0, (refusal.next_eligible_at - now) / timedelta(seconds=1))


def waits_for(refusal: Check, now: datetime) -> Document:
    """What a job waits for, as it is stored with it: a looser pack finds it by that."""
    return {"reason": str(refusal.reason), "rule": refusal.rule, "why": str(refusal.value), "at": now}
