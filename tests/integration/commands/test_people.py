"""A person is found by id, phone or name over all batches, in jobs of speechaid and of other programs."""

from __future__ import annotations

from typing import Any

import pytest

from speechaid.commands.interfaces import CommandRefused, HandlerContext
from speechaid.commands.people import find_people, the_person
from tests.integration.control.test_commands import Operator, operator, settings_for

__all__ = ["operator"]
Document = dict[str, Any]

CSV = "rut,nombre,telefono 1,telefono 2\n12.345.678-5,Ana María Rojas,+56955550071,+56955550072\n"


def context_of(operator: Operator) -> HandlerContext:
    settings = settings_for("mongodb://127.0.0.1:1", "unused")
    return HandlerContext(store=operator.store, settings=settings, in_loop=lambda call: call())


def add_job(operator: Operator, job_id: str, **fields: Any) -> None:
    operator.database.jobs.insert_one({"job_id": job_id, "status": "pending", **fields})


def found_jobs(operator: Operator, typed: str, account: str | None = None) -> list[list[str]]:
    found = find_people(context_of(operator), typed, account)
    return [sorted(job.job_id for job in person.jobs) for person in found.people]


@pytest.mark.parametrize(
    "typed",
    [
        "12345678-5",
        "123456785",
        "12.345.678-5",
        "+56 9 5555 0072",
        "955550071",
        "ana maria",
        "ANA MARÍA ROJAS",
    ],
)
def test_an_imported_person_is_found_however_the_id_the_number_or_the_name_is_typed(
    typed: str, operator: Operator
) -> None:
    operator.run("import", file=CSV, filename="march.csv", country="CL")
    (jobs,) = found_jobs(operator, typed)
    assert len(jobs) == 1


@pytest.mark.parametrize(
    ("typed", "fields"),
    [
        ("12.345.678-5", {"contact": {"dni": "12345678-5", "phones": ["+56955550071"]}}),
        ("12345678-5", {"rut": "12.345.678-5", "nombre": "Ana", "to_number": "+56955550071"}),
        ("123456785", {"rut": 123456785, "to_number": "+56955550071"}),
        ("955550071", {"to_number": "+56955550071"}),
        ("+56955550071", {"contact": {"phones": ["955550071"]}}),
        ("juan pérez", {"contact": {"name": "JUAN PÉREZ SOTO", "phones": ["+56955550071"]}}),
        ("Juan", {"nombre": "Juan Pérez", "to_number": "+56955550071"}),
    ],
)
def test_a_person_of_another_program_is_found_in_the_usual_spellings(
    typed: str, fields: Document, operator: Operator
) -> None:
    add_job(operator, "job-1", **fields)
    assert found_jobs(operator, typed) == [["job-1"]]


def test_all_jobs_of_a_person_are_found_by_any_of_the_numbers(operator: Operator) -> None:
    dni = "12345678-5"
    add_job(operator, "job-1", contact={"dni": dni, "phones": ["+56955550071"]})
    add_job(operator, "job-2", contact={"dni": "12.345.678-5", "phones": ["+56955550072"]})
    add_job(operator, "without-id", contact={"phones": ["+56955550072"]})
    add_job(operator, "of-another", contact={"dni": "11111112-K", "phones": ["+56955550073"]})
    assert found_jobs(operator, "+56955550071") == [["job-1", "job-2", "without-id"]]


def test_two_people_of_one_number_are_told_apart(operator: Operator) -> None:
    add_job(operator, "job-1", contact={"name": "Ana", "dni": "1-9", "phones": ["+56955550071"]})
    add_job(operator, "job-2", contact={"name": "Luis", "dni": "2-7", "phones": ["+56955550071"]})
    assert found_jobs(operator, "+56955550071") == [["job-1"], ["job-2"]]
    with pytest.raises(CommandRefused, match="several people") as refused:
        the_person(context_of(operator), "+56955550071")
    assert "Ana, 1-9, +569******71; Luis, 2-7" in str(refused.value)
    assert "5550071" not in str(refused.value)


def test_only_jobs_of_the_named_account_are_found(operator: Operator) -> None:
    add_job(operator, "job-1", account_id="acc-1", contact={"dni": "12345678-5", "phones": ["+56955550071"]})
    add_job(operator, "job-2", account_id="acc-2", contact={"dni": "12345678-5", "phones": ["+56955550071"]})
    assert found_jobs(operator, "12345678-5", "acc-2") == [["job-2"]]
    assert found_jobs(operator, "12345678-5") == [["job-1", "job-2"]]


def test_nobody_is_found_where_no_job_is_of_the_person(operator: Operator) -> None:
    person, found = the_person(context_of(operator), "12.345.678-5")
    assert person is None
    assert [reading.meaning for reading in found.readings] == ["national id"]


def test_what_can_be_no_person_is_refused(operator: Operator) -> None:
    with pytest.raises(CommandRefused, match="no national id, no phone and no name"):
        find_people(context_of(operator), "??")
