"""Where the people are who read a file of a batch: the account's country and time zone."""

from __future__ import annotations

from dataclasses import dataclass

from speechaid.commands.interfaces import HandlerContext
from speechaid.model.account import Account
from speechaid.rules.metering import account_zone
from speechaid.rules.phones import is_country


@dataclass(frozen=True, kw_only=True)
class Place:
    """A country with a time zone."""

    #: ISO 3166 alpha-2.
    country: str
    #: IANA name.
    zone: str


def account_place(context: HandlerContext, batch_id: str | None, account: Account | None = None) -> Place:
    """The place of the account, else of the batch's; where neither says it, that of the settings."""
    default = context.settings.dialling
    if account is None and batch_id is not None:
        batch = context.store.batches.find(batch_id)
        account_id = None if batch is None else batch.account_id
        account = None if account_id is None else context.store.accounts.find(account_id)
    zone, country = str(default.default_timezone), default.default_country
    if account is not None:
        zone = str(account_zone(account, zone))
        country = account.country if account.country and is_country(account.country) else country
    return Place(country=country.upper(), zone=zone)
