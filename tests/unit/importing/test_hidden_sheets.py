"""What the child says of a workbook's sheets is in the language of who reads the answer."""

from __future__ import annotations

import io
from datetime import date

import xlsxwriter

from speechaid.campaign.importer import ContactsReader
from speechaid.importing.contacts import ContactsReceiver, read_messages
from speechaid.protocol.translation import in_language


def test_a_hidden_sheet_is_named_in_the_reader_s_language() -> None:
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream) as made:
        made.add_worksheet("Pagados").hide()
        sheet = made.add_worksheet("Julio")
        sheet.activate()
        sheet.set_first_sheet()
        sheet.write_row(0, 0, ["nombre", "telefono"])
        sheet.write_row(1, 0, ["Ana", "+56955550101"])
    reader = ContactsReader(stream.getvalue(), "julio.xlsx", country="CL", today=date(2026, 7, 1))
    receiver = ContactsReceiver()
    for message, _ in read_messages(reader):
        receiver.take_message(message)
    (other,) = receiver.complete_contents().source.other_sheets
    assert other == "Pagados (hidden)"
    assert in_language(other, "es") == "Pagados (oculta)"
