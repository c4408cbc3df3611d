"""Results as files: CSV always, XLSX where XlsxWriter is installed."""

from __future__ import annotations

import io
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from speechaid.protocol.sheets import (
    CsvForm,
    Sheet,
    SheetError,
    bad_rows_text,
    encode_bad_rows,
    write_csv,
    write_workbook,
)
from speechaid.protocol.translation import say, system_fault
from speechctl.private_files import open_private

_ENDINGS: Final = ("", ".csv", ".xlsx")


def check_name(path: str) -> None:
    """Check that the name's ending says what to write; without an ending it is CSV, as for ``/dev/stdout``.

    Raises:
        SheetError: the ending is neither ``.csv`` nor ``.xlsx``.
    """
    ending = Path(path).suffix
    if path != "-" and ending.lower() not in _ENDINGS:
        raise SheetError(
            say("{path}: {ending} files are not written; name a .csv or .xlsx file", path=path, ending=ending)
        )


def write(path: str, sheets: Sequence[Sheet], *, form: CsvForm | None = None, replace: bool = True) -> None:
    """Write all tables to an ``.xlsx`` workbook, or the first to any other path as CSV; ``-`` is stdout.

    Args:
        path: its ending decides.
        sheets: cells are texts (also ids and phones: they stay texts in a workbook), numbers, ``Share``,
            dates, and times without a zone, which the title names.
        form: of a CSV file.
        replace: whether a workbook may take the place of another file.

    Raises:
        FileExistsError: something is at that place, which it may not take.
        SheetError: it cannot be written.
    """
    try:
        if Path(path).suffix.lower() == ".xlsx":
            with open_private(path, replace=replace) as file:
                write_workbook(path, file, sheets)
            return
        with _opened(path) as text:
            _, titles, rows = sheets[0]
            write_csv(text, itertools.chain([titles], rows), form or CsvForm(), line_end="\n")
    except FileExistsError:
        raise
    except OSError as exc:
        if path == "-":
            raise  # faults of standard output are reported as for any other answer
        raise SheetError(f"{path}: {system_fault(exc)}") from exc


@contextmanager
def _opened(path: str) -> Iterator[IO[str]]:
    if path == "-":
        yield sys.stdout
        return
    with open_private(path) as file:
        # Excel reads a CSV file as UTF-8 only with a byte order mark.
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        yield text
        text.detach()


def write_bad_rows(path: str, rows: Sequence[Mapping[str, Any]], form: Mapping[str, Any]) -> None:
    """Write rows that an import refused; ``-`` is stdout.

    Args:
        path: a CSV or XLSX file.
        rows: as of ``encode_bad_rows``.
        form: as of ``encode_bad_rows``.

    Raises:
        SheetError: it cannot be written.
    """
    try:
        if path == "-":
            sys.stdout.write(bad_rows_text(rows, form))
            return
        content = encode_bad_rows(path, rows, form)
        with open_private(path) as file:
            file.write(content)
    except OSError as exc:
        raise SheetError(f"{path}: {system_fault(exc)}") from exc
