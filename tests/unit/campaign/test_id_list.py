"""A file of national ids: which column has them, and what else is read of a line."""

from __future__ import annotations

import pytest

from speechaid.campaign.id_list import read_ids
from speechaid.errors import ImportFailed


def ids(text: str, **options: str) -> list[str]:
    return [one.dni for one in read_ids(text.encode(), "payers.csv", country="CL", **options).good]


@pytest.mark.parametrize(
    "text",
    [
        "12.345.678-5\n11.111.112-K\n",
        "pagaron\n12.345.678-5\n11.111.112-K\n",
        "RUT\n12.345.678-5\n11.111.112-K\n",
        "nombre,rut\nAna,12.345.678-5\nLuis,11.111.112-K\n",
        "pagos de marzo,\nnombre,RUT Cliente\nAna,12.345.678-5\nLuis,11.111.112-K\n",
        "rut\n12.345.678-5\n\n11.111.112-K\n12345678-5\n",
    ],
)
def test_the_column_of_ids_is_found_with_or_without_a_title(text: str) -> None:
    assert ids(text)[:2] == ["12.345.678-5", "11.111.112-K"]


def test_an_id_that_stands_twice_counts_once() -> None:
    assert ids("rut\n12.345.678-5\n12345678-5\n123456785\n") == ["12.345.678-5"]


def test_a_column_is_named_by_its_title() -> None:
    text = "Nombre;Código pagador\nAna;12.345.678-5\n"
    with pytest.raises(ImportFailed, match="name it with --column"):
        ids(text)
    assert ids(text, column="codigo pagador") == ["12.345.678-5"]
    with pytest.raises(
        ImportFailed, match="no column is called 'RUN'; there are: 'Nombre', 'Código pagador'"
    ):
        ids(text, column="RUN")


def test_a_check_digit_in_a_column_of_its_own_belongs_to_the_id() -> None:
    assert ids("rut,dv,nombre\n12345678,5,Ana\n11111112,K,Luis\n") == ["12345678-5", "11111112-K"]


def test_amounts_are_read_with_their_currency() -> None:
    found = read_ids(
        b"rut;pagado\n12.345.678-5;$ 1.234.567\n11.111.112-K;USD 12,50\n1-9;\n7.654.321-6;mucho\n",
        "payers.csv",
        country="CL",
        amounts="Pagado",
    )
    assert [(one.amount, one.currency) for one in found.good] == [
        (1234567.0, "CLP"),
        (12.5, "USD"),
    ]
    assert [line for line, _ in found.bad] == [4, 5]


def test_a_file_without_an_id_is_refused() -> None:
    with pytest.raises(ImportFailed, match="no national id"):
        ids("rut\n-\n")
