"""The agent, its version and the number of a batch: required level, pin, and the check when they change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from speechaid.commands.batch_fields import level_of
from speechaid.commands.interfaces import CommandRefused, Continue, HandlerContext, Result
from speechaid.commands.packs import introduce_packs
from speechaid.commands.start_check import StartCheck, Then, check_before_start
from speechaid.dialer.context import agent_choice
from speechaid.model.batch import Batch, CallSettings
from speechaid.model.levels import Level
from speechaid.model.reading import Document
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import say
from speechaid.retell.directory import RetellDirectory
from speechaid.rules.agent_choice import AgentChoice, AtRetell, Source, fault_at_retell
from speechaid.rules.phones import country_of
from speechaid.settings import Settings
from speechaid.store.connection import Store

#: Options that Retell is asked about when they are given.
CHOICES: Final = frozenset({"agent", "agent_version", "from_number"})
#: Options that may change the country that a batch's own number is to call.
_OF_COUNTRY: Final = frozenset({"country", "account"})

#: Active batches whose agents and numbers ``check`` and ``doctor`` ask Retell about, at most.
MOST_BATCHES: Final = 50


def require_level_of(context: HandlerContext, document: Document, *, by: str) -> None:
    """Before a batch is written: a daemon that would not heed what it sets must not dial any more.

    Where it names a purpose, the rules for that are in force from then on.
    """
    settings = CallSettings.read(document.get("call_settings"))
    if settings.pack_variant is not None:
        _refuse_unknown_pack(context, settings)
    level = level_of(document)
    if level > Level.FIRST:
        context.store.holds.require_level(level, by=by)
    if level is Level.CALLING_RULES:
        introduce_packs(context.store, by=by)


def _refuse_unknown_pack(context: HandlerContext, settings: CallSettings) -> None:
    """Refuse a variant that is not in force for the purpose: the batch would not be called."""
    if settings.purpose is None:
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, say("--pack-variant belongs to a --purpose: give both"))
    in_force = context.store.packs.in_force()
    if (fault := in_force.fault_for(settings.purpose, settings.pack_variant)) is not None:
        raise CommandRefused(ErrorCode.REFUSED, fault)


def check_choice(context: HandlerContext, batch: Batch, then: Then, *, refused: str) -> Result | Continue:
    """Refuse agent, version or number of a batch that Retell does not have, as before a start."""
    account = None if batch.account_id is None else context.store.accounts.find(batch.account_id)
    country = country_of(batch, account, context.settings.dialling.default_country)
    choice = agent_choice(context.settings, batch)
    return check_before_start(context, choice, country, then, refused=refused)


def check_changed_choice(
    context: HandlerContext, document: Document, options: Collection[str], then: Then, *, refused: str
) -> Result | Continue:
    """As ``check_choice`` where one of these options is given; else go on without asking Retell.

    Args:
        context: the handler's.
        document: the batch as it will be.
        options: those that are given, or unset.
        then: goes on.
        refused: what does not happen, for the text of a refusal.
    """
    batch = Batch.read(document)
    choice = agent_choice(context.settings, batch)
    has_number = choice.number_source is Source.BATCH
    if CHOICES.isdisjoint(options) and not (has_number and _OF_COUNTRY & set(options)):
        return then(context, StartCheck(choice=choice, reading=None, not_checked=None))
    return check_choice(context, batch, then, refused=refused)


def pin_version(context: HandlerContext, batch_id: str, check: StartCheck, *, by: str) -> None:
    """When a batch is started: keep the version that its agent has now, unless one is chosen or kept."""
    pin = check.pin_for(context, by)
    batch = context.store.batches.get(batch_id)
    now = agent_choice(context.settings, batch)
    if pin is None or (now.agent_id, now.version) != (pin.agent_id, None):
        return  # it was edited while Retell was asked
    context.store.holds.require_level(Level.PEOPLE_AND_AGENTS, by=by)
    context.store.batches.pin_agent(batch, pin)


@dataclass(frozen=True, kw_only=True)
class BatchChoice:
    """What an active batch has chosen, and the country of its numbers (ISO 3166 alpha-2), if known."""

    batch_id: str
    choice: AgentChoice
    country: str | None


def own_choices(store: Store, settings: Settings) -> list[BatchChoice]:
    """What active batches have chosen themselves; of the newest ones, at most ``MOST_BATCHES``."""
    batches = store.batches.with_own_agent(MOST_BATCHES)
    ids = sorted({batch.account_id for batch in batches if batch.account_id is not None})
    accounts = {account.account_id: account for account in store.accounts.among(ids)}
    default = settings.dialling.default_country
    return [
        BatchChoice(
            batch_id=batch.batch_id,
            choice=agent_choice(settings, batch),
            country=country_of(batch, accounts.get(batch.account_id or ""), default),
        )
        for batch in batches
    ]


def faults_at_retell(directory: RetellDirectory, choices: Sequence[BatchChoice]) -> dict[str, str]:
    """Why Retell would refuse each call of a batch, by batch; each agent and number is asked for once.

    Raises:
        RetellUnavailable: Retell does not answer, or not in time.
        Blocked: the key is refused.
    """
    known: dict[tuple[object, ...], AtRetell] = {}
    faults = {}
    for each in choices:
        key = (each.choice.agent_id, each.choice.version, each.choice.from_number)
        if key not in known:
            known[key] = directory.find_choice(each.choice)
        fault = fault_at_retell(each.choice, known[key], each.country)
        if fault is not None:
            faults[each.batch_id] = fault
    return faults
