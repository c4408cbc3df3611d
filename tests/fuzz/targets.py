"""What is fuzzed: each target reads a text, and raises where the text was not borne as promised."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, Final

import bson

from speechaid.campaign import importer
from speechaid.campaign.importer import ContactsReader
from speechaid.errors import ConfigError, ImportFailed
from speechaid.importing.contacts import ContactsReceiver, read_messages
from speechaid.importing.frames import FRAME_BYTES
from speechaid.model.call import Call
from speechaid.model.states import TERMINAL_CALL_STATUSES
from speechaid.protocol import messages
from speechaid.protocol.zmtp import PARTS_KEPT, Decoder, Message, ZmtpFault
from speechaid.retell import answers
from speechaid.retell.faults import CREATE_FAULTS, create_fault_for, other_fault_for
from speechaid.rules.outcomes import classify
from speechaid.settings import Settings, get_settings, settings_warnings
from speechaid.settings.table import DECLARATIONS
from tests.support.contacts import TODAY, parse_contacts

CORPUS: Final = Path(__file__).parent / "corpus"
_KEY: Final = "key_0123456789abcdef"
_NUMBER: Final = "+56912345634"
#: A small workbook as Excel's writers make it.
_WORKBOOK: Final = CORPUS / "contacts" / "merged.xlsx"
_LONGEST_MESSAGE: Final = 4096
_NOW: Final = datetime.combine(TODAY, time(), UTC)


def settings(text: bytes) -> None:
    """An environment file: settings, or a fault a line; a secret is shown in neither."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "speechaid.env"
        file.write_bytes(text)
        environ = {"RETELL_API_KEY": _KEY}
        try:
            found = get_settings(environ, file)
        except ConfigError as exc:
            lines = exc.faults
        else:
            assert Settings.from_wire(json.loads(json.dumps(found.to_wire()))) == found
            lines = [declared.shown(declared.of(found)) for declared in DECLARATIONS]
        lines = [*lines, *settings_warnings(environ, file)]
    assert all(line.strip() and _KEY not in line for line in lines)


def retell(content: bytes) -> None:
    """An answer of Retell: a value that the database holds, read as a call and as every kind of refusal."""
    try:
        body = answers.parse(content)
    except ValueError:
        return
    bson.encode({"answer": body})
    for status in (*CREATE_FAULTS, 500, 599):
        for fault in (
            create_fault_for(status, body),
            other_fault_for(status, body),
        ):
            assert _NUMBER not in str(fault)
            assert len(str(fault).splitlines()) == 1
    if isinstance(body, Mapping):
        _read_call(dict(body))


def _read_call(body: dict[str, Any]) -> None:
    try:
        call = Call.read(body)
    except ValueError:
        return
    assert call.duration_ms >= 0
    if call.call_status is None or call.call_status in TERMINAL_CALL_STATUSES:
        classify(call, stopped_by=None)


def contacts(data: bytes) -> None:
    """A contacts file: jobs that the database holds, and bad rows with a reason; or one sentence.

    It is read, sent and checked as between a reader process and the daemon.
    """
    name = "contacts.xlsx" if data.startswith(b"PK") else "contacts.csv"
    receiver = ContactsReceiver()
    try:
        reader = ContactsReader(data, name, country="CL", today=TODAY)
        for message, _ in read_messages(reader):
            assert len(message) <= FRAME_BYTES
            receiver.take_message(message)
    except ImportFailed:
        return
    parsed = receiver.complete_contents()
    assert parsed == parse_contacts(data, name)
    assert all(row.reason for row in parsed.bad_rows)
    assert all(phone.startswith("+") for row in parsed.rows for phone in row.phones)
    jobs = importer.job_documents(
        parsed.rows, batch_id="batch-1", account_id=None, now=_NOW, new_id=lambda: "job-1"
    )
    for job in jobs:
        bson.encode(job)


def sheets(xml: bytes) -> None:
    """The sheet of a workbook: of mutated archives hardly one would get past its checksum."""
    with zipfile.ZipFile(io.BytesIO(_WORKBOOK.read_bytes())) as seed:
        parts = {name: seed.read(name) for name in seed.namelist()}
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, xml if name.endswith("sheet1.xml") else content)
    contacts(data.getvalue())


def frames(data: bytes) -> None:
    """What a client of the unix socket sends: messages within the limits, or one fault.

    However it is cut into pieces, the same messages come out.
    """
    assert _messages(data, len(data) or 1) == _messages(data, 7)


def _messages(data: bytes, piece: int) -> tuple[list[Message], str]:
    decoder = Decoder(_LONGEST_MESSAGE)
    found: list[Message] = []
    try:
        for start in range(0, len(data), piece):
            decoder.add(data[start : start + piece])
            while (message := decoder.take_message()) is not None:
                assert len(message.parts) == min(message.count, PARTS_KEPT)
                assert sum(map(len, message.parts)) <= _LONGEST_MESSAGE
                found.append(message)
                messages.decode_request(message.parts[0], None)
    except ZmtpFault as fault:
        return found, str(fault)
    assert decoder.buffered <= len(data)
    return found, ""


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "settings": settings,
    "retell": retell,
    "contacts": contacts,
    "sheets": sheets,
    "frames": frames,
}


def corpus(target: str) -> list[bytes]:
    """The texts of a target, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]
