"""Finds the person whom an operator has typed, with all jobs.

What is typed is a national id, a phone or a name (``campaign.person_search``). A person is found by what the
jobs say; an import's jobs in every spelling, jobs of other programs in the usual ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from speechaid.campaign.people import id_of_keys, keys_of_job
from speechaid.campaign.person_search import (
    Meaning,
    Reading,
    group_by_person,
    readings_of,
    spellings_of_phones,
)
from speechaid.commands.interfaces import CommandRefused, HandlerContext
from speechaid.dialer.preflight import forms_of_person
from speechaid.errors import NotFound
from speechaid.model.job import Job
from speechaid.model.masking import mask_phone
from speechaid.model.reading import Document, text
from speechaid.protocol.messages import ErrorCode
from speechaid.protocol.translation import joined, say
from speechaid.rules import phones
from speechaid.store.people import People

#: Before the id of a job, which names its person.
OF_JOB: Final = "job:"
#: Jobs that are read of what was typed, and of one person.
MAX_FOUND: Final = 500
MAX_JOBS: Final = 2000
#: Candidates that an answer names.
MAX_NAMED: Final = 20
#: How often a person's further phones are followed to further jobs.
_ROUNDS: Final = 4


@dataclass(kw_only=True)
class Person:
    """A person, and the jobs that are known to be that person's."""

    meaning: Meaning
    keys: list[str]
    jobs: list[Job]
    #: There are more jobs than ``MAX_JOBS``.
    has_more: bool = False

    @property
    def id_key(self) -> str | None:
        """The key of the person's national id; None where no job has one."""
        return id_of_keys(self.keys)

    @property
    def dni(self) -> str | None:
        """The national id as a job has it."""
        return next((job.contact.dni for job in self.jobs if job.contact.dni), None)

    @property
    def name(self) -> str | None:
        """The name as the latest job has it."""
        return next((job.contact.name for job in reversed(self.jobs) if job.contact.name), None)

    @property
    def accounts(self) -> list[str | None]:
        """The accounts whose jobs these are; None stands for jobs without one."""
        return sorted({job.account_id for job in self.jobs}, key=lambda name: name or "")


@dataclass(kw_only=True)
class Found:
    """What a search has found."""

    #: Every way to understand what was typed, in the order of trying.
    readings: list[Reading]
    people: list[Person] = field(default_factory=list)
    #: More jobs matched than ``MAX_FOUND``: further people may be among them.
    has_more: bool = False


class Countries:
    """The country of each job's phones, each batch and account read once."""

    def __init__(self, context: HandlerContext) -> None:
        self._context = context
        self._known: dict[tuple[str | None, str | None], str | None] = {}

    def of_job(self, job: Job) -> str | None:
        """ISO 3166 alpha-2; None where none is known."""
        place = (job.batch_id, job.account_id)
        if place not in self._known:
            store = self._context.store
            self._known[place] = phones.country_of(
                None if job.batch_id is None else store.batches.find(job.batch_id),
                None if job.account_id is None else store.accounts.find(job.account_id),
                self._context.settings.dialling.default_country,
            )
        return self._known[place]

    def numbers_of(self, jobs: Iterable[Job]) -> list[str]:
        """The phones of jobs in E.164, each once; what is no number is left out."""
        found = (phones.normalise(phone, self.of_job(job)) for job in jobs for phone in job.contact.phones)
        return list(dict.fromkeys(number for number in found if number is not None))

    def keys_of(self, job: Job) -> list[str]:
        """The keys of a job's person."""
        return keys_of_job(job, self.of_job(job))


def all_listed(context: HandlerContext, jobs: Sequence[Job], countries: Countries) -> set[Any]:
    """``_id`` of the jobs of which no phone may be dialled: each one, or the person, is listed now."""
    numbers = {job.id: countries.numbers_of([job]) for job in jobs}
    forms = {job.id: forms_of_person(job) for job in jobs}
    listing = context.store.do_not_call
    listed = listing.listed({number for of_job in numbers.values() for number in of_job})
    people = listing.listed_people(sorted({form for of_job in forms.values() for form in of_job}))
    return {
        job.id
        for job in jobs
        if not people.isdisjoint(forms[job.id]) or (numbers[job.id] and listed.issuperset(numbers[job.id]))
    }


def countries_in_use(context: HandlerContext, given: str | None = None) -> list[str]:
    """The country of national numbers: the given one alone, else the setting's, then each that is in use."""
    if given:
        return [given]
    default = context.settings.dialling.default_country or ""
    tables = (context.store.batches.table, context.store.accounts.table)
    in_use = {code for table in tables for code in map(text, table.distinct("country")) if code}
    return [default, *sorted(code.upper() for code in in_use if code.upper() != default.upper())]


def find_people(context: HandlerContext, typed: str, account: str | None = None) -> Found:
    """Find the people of whom a typed text may speak, each with all jobs; nobody is no error.

    Args:
        context: the handler's.
        typed: a national id, a phone, the beginning of a name, or ``job:`` and the id of a job.
        account: the full id of an account; None: all.

    Raises:
        CommandRefused: the text can be none of these, or there is no such job.
    """
    if typed.strip().startswith(OF_JOB):
        return _person_of_job(context, typed.strip().removeprefix(OF_JOB), account)
    ways = readings_of(typed, countries_in_use(context))
    if not ways:
        message = say("{typed!r} is no national id, no phone and no name", typed=mask_phone(typed))
        raise CommandRefused(ErrorCode.BAD_ARGUMENT, message)
    search = _Search(context=context, countries=Countries(context), account=account)
    found = Found(readings=ways)
    exact = [way for way in ways if way.meaning is not Meaning.NAME]
    for ways_tried in (exact, [way for way in ways if way.meaning is Meaning.NAME]):
        for way in ways_tried:
            rows = context.store.people.find(_queries_of(context.store.people, way, account), MAX_FOUND + 1)
            found.has_more |= len(rows) > MAX_FOUND
            _add(search, found, way, [Job.read(row) for row in rows])
        if found.people:
            break
    return found


def _person_of_job(context: HandlerContext, job_id: str, account: str | None) -> Found:
    """The person of a job, who need not have an id: so a client that shows masked numbers names people."""
    try:
        job = context.store.jobs.get(job_id)
    except NotFound:
        job = None
    if job is None or (account is not None and job.account_id != account):
        message = say("there is no job {job_id}", job_id=repr(job_id))
        raise CommandRefused(ErrorCode.NOT_FOUND, message)
    search = _Search(context=context, countries=Countries(context), account=account)
    way = Reading(meaning=Meaning.PHONE if job.contact.dni is None else Meaning.ID)
    found = Found(readings=[way])
    _add(search, found, way, [job])
    return found


def the_person(
    context: HandlerContext, typed: str, account: str | None = None
) -> tuple[Person | None, Found]:
    """The only person of whom a typed text may speak; None where no job is of such a person.

    Raises:
        CommandRefused: there are several, whom the text names.
    """
    found = find_people(context, typed, account)
    if len(found.people) > 1:
        named = joined("; ", (describe(person) for person in found.people[:MAX_NAMED]))
        more = ", ..." if len(found.people) > MAX_NAMED or found.has_more else ""
        message = say(
            "that may be one of several people, so give the national id or the number: {named}{more}",
            named=named,
            more=more,
        )
        raise CommandRefused(ErrorCode.AMBIGUOUS_ID, message)
    return (found.people[0] if found.people else None), found


def describe(person: Person) -> str:
    """A person in a list of candidates: name, id, and the masked phones."""
    shown = sorted({mask_phone(phone) for job in person.jobs for phone in job.contact.phones})
    parts = [person.name or say("without a name"), person.dni or say("without an id"), *shown[:3]]
    return joined(", ", parts)


def _queries_of(people: People, way: Reading, account: str | None) -> list[Document]:
    queries: dict[Meaning, Callable[[], list[Document]]] = {
        Meaning.ID: lambda: people.of_id(way.keys, way.spellings, account),
        Meaning.PHONE: lambda: people.of_phone(way.keys, way.spellings, account),
        Meaning.NAME: lambda: people.of_name(way.name_keys, [*map(str, way.spellings)], account),
    }
    return queries[way.meaning]()


@dataclass(frozen=True, kw_only=True)
class _Search:
    """What every step of a search needs."""

    context: HandlerContext
    countries: Countries
    account: str | None


def _add(search: _Search, found: Found, way: Reading, jobs: list[Job]) -> None:
    """Add the people of these jobs whom no earlier reading has found."""
    keys = [search.countries.keys_of(job) for job in jobs]
    known = {job.id for person in found.people for job in person.jobs}
    for places in group_by_person(keys):
        own = [jobs[place] for place in places]
        if all(job.id in known for job in own):
            continue
        of_person = list(dict.fromkeys(key for place in places for key in keys[place]))
        person = Person(meaning=way.meaning, keys=of_person, jobs=own)
        # Of more than can be named, the rest stays as it was found.
        if len(found.people) < MAX_NAMED:
            _complete(search, person)
        found.people.append(person)


def _complete(search: _Search, person: Person) -> None:
    """Add the person's other jobs: of the same id, and those without id on one of the person's lines."""
    jobs = {job.id: job for job in person.jobs}
    asked: set[str] = set()
    for _ in range(_ROUNDS):
        fresh = [key for key in person.keys if key not in asked]
        if not fresh or len(jobs) > MAX_JOBS:
            break
        asked.update(fresh)
        queries = _further_queries(search, list(jobs.values()), fresh)
        for job in map(Job.read, search.context.store.people.find(queries, MAX_JOBS + 1)):
            keys = search.countries.keys_of(job)
            own = id_of_keys(keys)
            is_same = own == person.id_key if own is not None else bool(set(keys) & set(person.keys))
            if is_same:
                jobs[job.id] = job
                person.keys = list(dict.fromkeys([*person.keys, *keys]))
    person.has_more = len(jobs) > MAX_JOBS
    person.jobs = sorted(jobs.values(), key=_age)[:MAX_JOBS]


def _further_queries(search: _Search, jobs: list[Job], keys: list[str]) -> list[Document]:
    people, own = search.context.store.people, id_of_keys(keys)
    queries: list[Document] = []
    dni = next((job.contact.dni for job in jobs if job.contact.dni), None)
    if own is not None and dni is not None:
        for way in readings_of(dni, []):
            if way.meaning is Meaning.ID:
                queries += people.of_id([own], way.spellings, search.account)
    lines = [key for key in keys if key != own]
    numbers = [phone for job in jobs for phone in job.contact.phones]
    if lines:
        queries += people.of_phone(lines, spellings_of_phones(numbers), search.account)
    return queries


def _age(job: Job) -> str:
    return str(job.document.get("created_at") or "")
