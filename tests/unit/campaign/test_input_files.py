"""Files as exporters, spreadsheets and people in a hurry make them: right values, or the right sentence."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any, Final

import pytest
import xlsxwriter

from speechaid.campaign.importer import Choices
from speechaid.campaign.kinds import Kind
from speechaid.campaign.rows import Row
from speechaid.errors import ImportFailed
from speechaid.rules.currencies import CODES, SYMBOLS
from tests.support.contacts import parse_contacts

Sheet = Any
Book = Any


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """A file, and what becomes of it."""

    name: str
    data: bytes
    #: The good rows by their line: attributes of ``Row``; ``phones`` without their country code's plus.
    rows: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    #: The bad rows by their line: words of the reason.
    bad: Mapping[int, str] = field(default_factory=dict)
    #: Words of a remark.
    remark: str | None = None
    #: Words of the sentence where the whole file is refused.
    refused: str | None = None
    filename: str = "contacts.csv"
    country: str = "CL"


def csv(name: str, text: str | bytes, encoding: str = "utf-8", **expected: Any) -> InputFile:
    data = text if isinstance(text, bytes) else text.encode(encoding)
    return InputFile(name=name, data=data, **expected)


def xlsx(name: str, fill: Callable[[Book], object], **expected: Any) -> InputFile:
    made = io.BytesIO()
    options = {"in_memory": True, "date_1904": expected.pop("date_1904", False)}
    with xlsxwriter.Workbook(made, options) as book:
        fill(book)
    return InputFile(name=name, data=made.getvalue(), **({"filename": "contacts.xlsx"} | expected))


def rows(*lines: Sequence[object]) -> Callable[[Book], Sheet]:
    """Fills a sheet; dates get a date's format."""

    def fill(book: Book) -> Sheet:
        sheet = book.add_worksheet()
        day = book.add_format({"num_format": "dd-mm-yyyy"})
        for number, line in enumerate(lines):
            for column, cell in enumerate(line):
                sheet.write(number, column, cell, day if isinstance(cell, date) else None)
        return sheet

    return fill


def person(name: str | None = "Ana", phone: str = "56955550101", **more: object) -> dict[str, object]:
    return {"name": name, "phones": tuple(f"+{number}" for number in phone.split()), **more}


#: To the wide digits of East Asian keyboards.
WIDE: Final = {ord("0") + digit: 0xFF10 + digit for digit in range(10)}
ANA: Final = {2: person()}
EVA: Final = {3: person("Eva", "56955550102")}
BOTH: Final = {**ANA, **EVA}
ACCENTS: Final = "Nombre;Teléfono\nÑandú Muñoz Ávila;955550101\nJosé Peña;955550102\n"
READ_ACCENTS: Final = {2: person("Ñandú Muñoz Ávila"), 3: person("José Peña", "56955550102")}

EXPORTERS: Final = (
    csv(
        "HubSpot",
        '"Record ID","First Name","Last Name","Email","Phone Number","Mobile Phone Number"\n'
        '"101","Ana","Soto","ana@x.cl","","+56 9 5555 0101"\n',
        rows={2: person("Ana Soto", additional_info={"Record ID": "101", "Email": "ana@x.cl"})},
    ),
    csv(
        "Google Contacts: several numbers in one cell",
        "Name,Phone 1 - Label,Phone 1 - Value\nAna,Mobile,+56 9 5555 0101 ::: +56 9 5555 0102\n",
        rows={2: person(phone="56955550101 56955550102")},
    ),
    csv(
        "Google Contacts: names in parts",
        "First Name,Middle Name,Last Name,Organization Name,Phone 1 - Value\nAna,María,Soto,Acme,955550101\n",
        rows={2: person("Ana María Soto", company_name="Acme")},
    ),
    csv(
        "Outlook",
        "First Name,Last Name,Company,Business Phone,Mobile Phone\nAna,Soto,Acme,+56225550102,955550101\n",
        rows={2: person("Ana Soto", "56225550102 56955550101", company_name="Acme")},
    ),
    csv(
        "VICIdial",
        "vendor_lead_code|phone_code|phone_number|first_name|last_name|alt_phone\n"
        "123|52|5512345678|Ana|Soto|5512345679\n",
        rows={2: person("Ana Soto", "525512345678 525512345679", dni="123")},
    ),
    csv(
        "Siigo: the digit of the NIT in a column of its own",
        "Identificación;Dígito de verificación;Nombre del tercero;Celular;Saldo cartera;Fecha vencimiento\n"
        "900123456;8;ACME SAS;3001234567;1.250.000,50;2026/07/31\n",
        country="CO",
        rows={
            2: person(
                "ACME SAS", "573001234567", dni="900123456-8", debt_amount=1250000.5, due_date="2026-07-31"
            )
        },
    ),
    csv(
        "Contpaq: an id with points in its title",
        'Código,Razón Social,R.F.C.,Teléfono 1,Saldo\nC1,Ana Soto,XAXX010101000,(55) 1234-5678,"$1,250.00"\n',
        country="MX",
        rows={2: person("Ana Soto", "525512345678", dni="XAXX010101000", debt_amount=1250, currency="MXN")},
    ),
    csv(
        "Defontana: RUT and Dv",
        "Rut;Dv;Razon Social;Fono;Fecha Vcto.;Saldo Documento\n12345678;5;Ana;9 5555 0101;31-07-2026;150\n",
        rows={2: person(dni="12345678-5", debt_amount=150, due_date="2026-07-31")},
    ),
    csv(
        "Buk: surnames in two columns",
        "RUT;Nombre;Apellido Paterno;Apellido Materno;Teléfono Celular\n"
        "12.345.678-5;Ana;Soto;Ríos;+56955550101\n",
        rows={2: person("Ana Soto Ríos")},
    ),
    csv(
        "SAP: a customer's number is nobody's name",
        "Cliente\tNombre 1\tTeléfono 1\tImporte en ML\tVenc.neto\tMon.\n"
        "0001000123\tANA SOTO\t955550101\t150.000,00\t31.07.2026\tCLP\n",
        rows={2: person("ANA SOTO", debt_amount=150000, currency="CLP", due_date="2026-07-31")},
        remark="has a name's title and no letters",
    ),
    csv(
        "SAP: a credit has its minus behind",
        "Nombre 1\tTeléfono 1\tImporte en ML\nANA\t955550101\t150.000,00-\n",
        bad={2: "below zero"},
    ),
    csv(
        "a Brazilian bank: DDD in a column of its own",
        "CPF;Nome;DDD;Celular;Valor;Vencimento\n529.982.247-25;Ana;51;955550101;R$ 1.234,56;31/07/2026\n",
        country="BR",
        rows={2: person(phone="5551955550101", debt_amount=1234.56, currency="BRL")},
    ),
    csv(
        "Mexico: Lada in a column of its own",
        "Nombre;Lada;Teléfono\nAna;55;12345678\nEva;55;5512345679\n",
        country="MX",
        rows={2: person(phone="525512345678"), 3: person("Eva", "525512345679")},
    ),
    csv(
        "Argentina: area code in brackets",
        "Nombre;Cod. Area;Teléfono\nAna;(11);2345-6789\n",
        country="AR",
        rows={2: person(phone="541123456789")},
    ),
    csv(
        "English titles of a collections system",
        "customer,contact number,outstanding balance,due\nAna,955550101,150000,2026-07-31\n",
        rows={2: person(debt_amount=150000, due_date="2026-07-31")},
    ),
    csv(
        "contacts by number",
        "Cliente;Nro. contacto 1;Nro. contacto 2\nAna;955550101;955550102\n",
        rows={2: person(phone="56955550101 56955550102")},
    ),
    csv(
        "WhatsApp links",
        "Nombre,WhatsApp\nAna,https://wa.me/56955550101\n"
        "Eva,https://api.whatsapp.com/send?phone=56955550102&text=hola\n",
        rows=BOTH,
    ),
    csv(
        "tel: and callto: links", "Nombre,Fono\nAna,tel:+56-9-5555-0101\nEva,callto:+56955550102\n", rows=BOTH
    ),
)

CELLS: Final = (
    csv(
        "texts that a spreadsheet keeps",
        'Nombre;Celular;Referencia;Plan\nAna;\'955550101;\'00123;"=""007"""\n',
        rows={2: person(reference_number="00123", additional_info={"Plan": "007"})},
    ),
    csv(
        "rounded numbers",
        "Nombre;Celular;Monto\nAna;5,69556E+10;1\nEva;955550102;1,5E+05\n",
        rows={3: person("Eva", "56955550102", debt_amount=150000)},
        bad={2: "rounded this number"},
        remark="may have rounded it",
    ),
    csv(
        "a percentage",
        "Nombre;Celular;Rebaja\nAna;955550101;15%\n",
        rows={2: person(additional_info={"Rebaja": "15%"})},
    ),
    csv(
        "line ends inside a cell",
        'Nombre;Celular;Nota\r\nAna;955550101;"uno\r\ndos"\r\nEva;955550102;\r\n',
        rows={2: person(additional_info={"Nota": "uno\ndos"}), 4: person("Eva", "56955550102")},
    ),
    csv(
        "special blanks",
        "Nombre;Celular;Monto\n\u00a0Ana\u00a0;\u00a09\u00a05555\u202f0101;\u00a0$\u00a0150\u202f000\u00a0\n",
        rows={2: person(debt_amount=150000, currency="CLP")},
    ),
    csv(
        "full-width digits",
        f"Nombre;Celular;Monto\nAna;{'955550101'.translate(WIDE)};{'150.000'.translate(WIDE)}\n",
        rows={2: person(debt_amount=150000)},
    ),
    csv("right to left", "Nombre;Celular\n\u200fאנה\u200f;\u202a955550101\u202c\n", rows={2: person("אנה")}),
    csv(
        "emoji in titles",
        "📛 Nombre;📱 Celular;💰 Monto\nAna 🌸;955550101;1000\n",
        rows={2: person("Ana 🌸", debt_amount=1000)},
    ),
    csv(
        "a CURP for a phone",
        "Nombre;Teléfono\nAna;SOAA800101MDFTNN09\n",
        bad={2: "letters stand inside"},
        country="MX",
    ),
    csv(
        "a RUT for a phone",
        "Nombre;Teléfono\nAna;12.345.678-5\nEva;12345678-5\n",
        bad={2: "looks like a RUT", 3: "looks like a RUT"},
    ),
    csv(
        "an e-mail for a phone",
        "Nombre;Teléfono\nAna;ana2024@acme.cl\nEva;955550102\n",
        rows=EVA,
        bad={2: "letters"},
    ),
    csv(
        "extensions",
        "Nombre;Fono\nAna;22555 0101 anexo 12\nEva;225550102 x12\n",
        bad={2: "with an extension", 3: "with an extension"},
    ),
    csv(
        "two phones in a cell, however separated",
        "Nombre;Fono\nAna;955550101 / 955550102\nEva;955550103-955550104\nSol;955550105 955550106\n"
        "Luz;955550107 y 955550108\n",
        rows={
            2: person(phone="56955550101 56955550102"),
            3: person("Eva", "56955550103 56955550104"),
            4: person("Sol", "56955550105 56955550106"),
            5: person("Luz", "56955550107 56955550108"),
        },
    ),
    csv(
        "amounts with their currency in the title",
        "Nombre;Celular;Monto (UF)\nAna;955550101;12,5\n",
        rows={2: person(debt_amount=12.5, currency="CLF")},
    ),
    csv(
        "amounts in dollars by the title",
        "Nombre;Celular;Saldo US$\nAna;955550101;1,250.75\nEva;955550102;CLP 150.000\n",
        rows={2: person(debt_amount=1250.75, currency="USD")},
        bad={3: "its title says USD"},
    ),
    csv(
        "thousands by the title are no amount",
        "Nombre;Celular;Monto M$;Saldo real\nAna;955550101;150;7\n",
        rows={2: person(debt_amount=None, additional_info={"Monto M$": "150", "Saldo real": "7"})},
    ),
    csv(
        "accounts' format for nothing",
        "Nombre;Celular;Monto\nAna;955550101; $ -   \nEva;955550102;S/ -\n",
        rows={2: person(debt_amount=0), 3: person("Eva", "56955550102", debt_amount=0)},
        remark="the amount is 0",
    ),
    csv(
        "sums below zero",
        "Nombre;Celular;Monto\nAna;955550101;(1.000)\nEva;955550102;1.000-\n",
        bad={2: "below zero", 3: "below zero"},
    ),
    csv(
        "days without marks",
        "Nombre;Celular;Vencimiento\nAna;955550101;31122026\nEva;955550102;20261231\n",
        rows={2: person(due_date="2026-12-31"), 3: person("Eva", "56955550102", due_date="2026-12-31")},
    ),
    csv(
        "days of programs",
        "Nombre;Celular;Vencimiento\nAna;955550101;2026-12-31T00:00:00\nEva;955550102;31-dic-26\n",
        rows={2: person(due_date="2026-12-31"), 3: person("Eva", "56955550102", due_date="2026-12-31")},
    ),
    csv(
        "days that only today knows",
        "Nombre;Celular;Vencimiento\nAna;955550101;hoy\nEva;955550102;31/12\n",
        bad={2: "not a date", 3: "not a date"},
    ),
    csv("quotes of other kinds", "“Nombre”;'Celular'\n“Ana”;'955550101'\n", rows=ANA),
    csv(
        "error values",
        "Nombre;Celular;Monto;Nota\nAna;955550101;#N/D;#¡REF!\n",
        rows={2: person(debt_amount=None, additional_info={})},
        remark="there is no amount",
    ),
)

TABLES: Final = (
    csv("blank rows between", "Nombre;Celular\nAna;955550101\n;\n\nEva;955550102\n", rows={**ANA, 5: EVA[3]}),
    csv(
        "a row of totals",
        "Nombre;Celular;Monto\nAna;955550101;1000\nTotal;;1000\n",
        rows=ANA,
        remark="total",
    ),
    csv(
        "titles repeated",
        "Nombre;Celular\nAna;955550101\nNombre;Celular\nEva;955550102\n",
        rows={**ANA, 4: EVA[3]},
        bad={3: "letters"},
    ),
    csv(
        "subtitles between",
        "Nombre;Celular\nSucursal Norte;\nAna;955550101\n",
        rows={3: person()},
        bad={2: "no phone number"},
    ),
    csv(
        "a second table beside the first: nobody gets another's phone",
        "Nombre;Celular;;Nombre;Celular\nAna;955550101;;Eva;955550102\n",
        rows=ANA,
        remark="a second table begins behind column 2",
    ),
    csv(
        "a second table below the first, with more titles: nobody is lost",
        "Nombre;Celular\nAna;955550101\n\nRUT;Nombre;Fono\n1-9;Eva;955550102\n",
        rows=ANA,
        bad={4: "the header 2", 5: "the header 2"},
    ),
    csv(
        "titles above, one of them with a phone",
        "Cobranza;;\nTeléfono mesa de ayuda;225550199;\nNombre;Celular;Monto\nAna;955550101;1\n",
        rows={4: person(debt_amount=1)},
    ),
    csv(
        "a footer",
        "Nombre;Celular\nAna;955550101\n\nPágina 1 de 1\n",
        rows=ANA,
        bad={4: "no phone number"},
    ),
    csv(
        "titles twice",
        "Nombre;Teléfono;Teléfono;Monto;Monto\nAna;955550101;955550102;1;2\n",
        rows={2: person(phone="56955550101 56955550102", debt_amount=1, additional_info={"Monto": "2"})},
        remark="both mean amount",
    ),
    csv(
        "line breaks in titles",
        '"Nombre\nCliente";"Teléfono\nCelular";"Monto\n(CLP)"\nAna;955550101;1000\n',
        rows={5: person(debt_amount=1000, currency="CLP")},
    ),
    csv("empty columns do not count", f"Nombre;Celular{';' * 298}\nAna;955550101{';' * 298}\n", rows=ANA),
    csv(
        "too many columns", f"Nombre;Celular{';x' * 298}\nAna;955550101\n", refused="300 columns; at most 200"
    ),
    csv("titles alone", "Nombre;Celular\n", refused="no contact below the header"),
    csv("nothing", b"", refused="the file is empty"),
    csv("no titles", "Ana;955550101\nEva;955550102\n", refused="instead of column names"),
)

TEXTS: Final = (
    csv("tabs in a file that is called CSV", "Nombre\tCelular\nAna\t955550101\n", rows=ANA),
    csv(
        "rows quoted as a whole",
        '"Nombre;Celular;Monto"\n"Ana;955550101;1000"\nEva;955550102;5\n',
        rows={2: person(debt_amount=1000), 3: person("Eva", "56955550102", debt_amount=5)},
        remark="each row stands in one cell",
    ),
    csv(
        "a decimal comma in a file with commas",
        'Nombre,Celular,Monto\nAna,955550101,"1.234,50"\nEva,955550102,1234,50\n',
        rows={2: person(debt_amount=1234.5)},
        bad={3: "a quote may be missing"},
    ),
    csv(
        "quotes that do not match",
        'Nombre;Celular\n"Ana;955550101\nEva;955550102\n',
        rows=EVA,
        bad={2: "a quote is opened and not closed"},
    ),
    csv(
        "a lone return",
        "Nombre;Celular\nA\rna;955550101\nEva;955550102\n",
        rows=EVA,
        bad={2: "a line break stands in a cell without quotes"},
    ),
    csv("NUL bytes", b"Nombre;Celular\nAn\0a;955550101\nEva;955550102\n", rows=EVA, bad={2: "NUL"}),
    csv("returns alone", "Nombre;Celular\rAna;955550101\r", rows=ANA),
    csv("UTF-16", ACCENTS, "utf-16", rows=READ_ACCENTS),
    csv("UTF-16 without its mark", ACCENTS, "utf-16-le", rows=READ_ACCENTS, remark="read as UTF-16"),
    csv("UTF-16, big-endian, without its mark", ACCENTS, "utf-16-be", rows=READ_ACCENTS, remark="UTF-16"),
    csv("Mac Roman", ACCENTS, "mac_roman", rows=READ_ACCENTS, remark="Mac Roman"),
    csv("DOS", ACCENTS, "cp850", rows=READ_ACCENTS, remark="DOS"),
    csv("Windows", ACCENTS, "cp1252", rows=READ_ACCENTS, remark="Windows-1252"),
    csv("garbled once", ACCENTS.encode().decode("latin-1").encode(), rows=READ_ACCENTS, remark="garbled"),
    csv(
        "garbled twice",
        ACCENTS.encode().decode("latin-1").encode().decode("latin-1").encode(),
        rows=READ_ACCENTS,
        remark="is read as 'Teléfono'",
    ),
    csv(
        "two marks at the beginning",
        b"\xef\xbb\xbf\xef\xbb\xbf" + b"Nombre;Celular\nAna;955550101\n",
        rows=ANA,
    ),
)


def encrypted_workbook() -> bytes:
    """A compound file with the directory of an encrypted workbook (MS-CFB 2.2, 2.6; MS-OFFCRYPTO 1.3.1)."""
    header = struct.pack(
        "<8s16x5H6x10I",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        62,
        3,
        0xFFFE,
        9,
        6,
        0,
        1,
        1,
        0,
        4096,
        0xFFFFFFFE,
        0,
        0xFFFFFFFE,
        0,
        0,
    )
    header += struct.pack("<109I", 0, *[0xFFFFFFFF] * 108)
    fat = struct.pack("<128I", 0xFFFFFFFD, 0xFFFFFFFE, *[0xFFFFFFFF] * 126)
    entries = b""
    for name, kind, child in (("Root Entry", 5, 1), ("EncryptedPackage", 2, 0xFFFFFFFF)):
        text = name.encode("utf-16-le").ljust(64, b"\0")
        entries += struct.pack(
            "<64sHBB3I36xIQ", text, 2 * len(name) + 2, kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, child, 0xFFFFFFFE, 0
        )
    return header[:512] + fat + entries.ljust(512, b"\0")


def archive(member: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr(member, "x")
    return made.getvalue()


HTML: Final = "<table><tr><th>Nombre</th><th>Celular</th></tr><tr><td>Ana</td><td>955550101</td></tr></table>"
NO_TABLES: Final = (
    csv("a web page named .xls", HTML, filename="c.xls", refused="despite its name; it is a web page"),
    csv("a web page named .csv", f"\n<html><body>{HTML}", refused="the file is a web page"),
    csv("Excel 2003 as XML", '<?xml version="1.0"?>\n<Workbook/>', filename="c.xls", refused="it is XML"),
    csv("a web archive", "MIME-Version: 1.0\n", filename="c.xls", refused="it is a web archive"),
    csv(
        "text named .xls",
        "Nombre\tCelular\nAna\t955550101\n",
        filename="c.xls",
        refused="text: if it is a table",
    ),
    csv("SYLK", 'ID;PSCALC3\nC;X1;Y1;K"Celular"\n', filename="c.slk", refused="SYLK"),
    csv("JSON", '[{"nombre":"Ana","celular":"955550101"}]', refused="the file is JSON"),
    csv(
        "contact cards", "BEGIN:VCARD\nFN:Ana\nTEL:+56955550101\n", filename="c.vcf", refused="contact cards"
    ),
    csv("a PDF", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", filename="c.pdf", refused="the file is a PDF"),
    csv("a picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", refused="the file is a picture"),
    csv("RTF", r"{\rtf1\ansi Nombre;Celular\par Ana;955550101}", refused="a text document"),
    csv("a locked workbook", encrypted_workbook(), filename="c.xlsx", refused="protected with a password"),
    csv("Numbers", archive("Index/Document.iwa"), filename="c.numbers", refused="Apple Numbers"),
    csv("Word", archive("word/document.xml"), filename="c.docx", refused="a document of Word"),
    csv("an archive", archive("contactos.csv"), filename="c.zip", refused="unpack it first"),
)
TITLES: Final = ("Nombre", "Celular", "Monto", "Vencimiento")


def with_number(value: float, code: str, title: str = "Monto") -> Callable[[Book], object]:
    """A sheet with one number under a format."""

    def fill(book: Book) -> None:
        sheet = rows(("Nombre", "Celular", title), ("Ana", 955550101))(book)
        sheet.write_number(1, 2, value, book.add_format({"num_format": code}))

    return fill


def with_errors(book: Book) -> None:
    sheet = rows((*TITLES, "Nota"), ("Ana", 955550101), ("Eva", ""))(book)
    for column, error in ((2, "#N/A"), (3, "#REF!"), (4, "#DIV/0!")):
        sheet.write_formula(1, column, "=A9", None, error)
    sheet.write_formula(2, 1, "=A9", None, "#N/A")


def with_formulas(book: Book) -> None:
    sheet = rows(TITLES, ("Ana",))(book)
    sheet.write_formula(1, 1, '="9"&"55550101"', None, "955550101")
    sheet.write_formula(1, 2, "=1000*1.19", None, 1190)


def with_merged_cells(book: Book) -> None:
    sheet = book.add_worksheet()
    sheet.merge_range(0, 0, 0, 3, "Cartera julio")
    sheet.write_row(1, 0, TITLES)
    sheet.merge_range(2, 0, 3, 0, "Ana")
    sheet.write_row(2, 1, [955550101, 100])
    sheet.write_row(3, 1, [955550102, 200])


def with_filter(book: Book) -> None:
    sheet = rows(TITLES, ("Ana", 955550101), ("Eva", 955550102))(book)
    sheet.autofilter(0, 0, 2, 2)
    sheet.set_row(2, None, None, {"hidden": True})


def with_hidden_columns(book: Book) -> None:
    sheet = rows(("Nombre", "Celular", "Celular 2", "Nota"), ("Ana", 955550101, 955550102, "deudor"))(book)
    sheet.set_column(2, 3, None, None, {"hidden": True})


def with_table(book: Book) -> None:
    sheet = book.add_worksheet()
    columns = [{"header": "Nombre", "total_string": "Total"}, {"header": "Celular"}, {"header": "Monto"}]
    data = [["Ana", 955550101, 100]]
    sheet.add_table(2, 1, 4, 3, {"total_row": True, "columns": columns, "data": data})


def with_texts(book: Book) -> None:
    sheet = book.add_worksheet()
    for column, (title, text) in enumerate(
        zip(TITLES, ("Ana", "'955550101", "150.000,50", "31/12/2026"), strict=True)
    ):
        sheet.write_string(0, column, title)
        sheet.write_string(1, column, text)


def with_chart_first(book: Book) -> None:
    chart = book.add_chart({"type": "bar"})
    chart.add_series({"values": "=Sheet1!$C$1:$C$2"})
    book.add_chartsheet().set_chart(chart)
    rows(TITLES, ("Ana", 955550101))(book)


def with_csv_in_a_column(book: Book) -> None:
    rows(("Nombre,Celular,Monto",), ('"Soto, Ana",955550101,"1.000,50"',))(book)


def with_instructions(book: Book) -> None:
    rows(("Instrucciones",), ("Complete la hoja siguiente",))(book)
    rows(TITLES, ("Ana", 955550101))(book)


DUE: Final = date(2026, 12, 31)
WORKBOOKS: Final = (
    xlsx(
        "dates and numbers",
        rows(TITLES, ("Ana", 56955550101.0, 150000.125, DUE)),
        rows={2: person(debt_amount=150000.125, due_date="2026-12-31")},
    ),
    xlsx(
        "days from 1904",
        rows(TITLES, ("Ana", 955550101, 1, DUE), ("Eva", 955550102, 1, 44925)),
        date_1904=True,
        rows={2: person(due_date="2026-12-31"), 3: person("Eva", "56955550102", due_date="2026-12-31")},
    ),
    xlsx(
        "a day without its format",
        rows(TITLES, ("Ana", 955550101, 1, 46387)),
        rows={2: person(due_date="2026-12-31")},
    ),
    xlsx(
        "a percentage as its owner sees it",
        with_number(0.15, "0%", "Rebaja"),
        rows={2: person(additional_info={"Rebaja": "15%"})},
    ),
    xlsx(
        "dollars by the format",
        with_number(1500, "[$US$-409] #,##0.00"),
        rows={2: person(debt_amount=1500, currency="USD")},
    ),
    xlsx(
        "UF by the format", with_number(12.5, '"UF" 0.00'), rows={2: person(debt_amount=12.5, currency="CLF")}
    ),
    xlsx(
        "pesos by the format",
        with_number(1500, '"$"#,##0'),
        rows={2: person(debt_amount=1500, currency="CLP")},
    ),
    *(
        xlsx(f"{code} by the format", with_number(3, code), bad={2: f"known here: {word}"})
        for code, word in (
            ('0 "UTM"', "utm"),
            ('"UTM" 0.00', "utm"),
            ('"M$" #,##0', "m$"),
            ('"MM$" #,##0', "mm$"),
            ('#,##0 "mil"', "mil"),
            ('0 "cuotas"', "cuotas"),
            ('#,##0 "IVU"', "ivu"),
            ('"$" #,##0.0,"M"', "m"),
            ("0\\ \\U\\T\\M", "utm"),
            ('[>=1000]#,##0,"k";0', "k"),
            ("0%", "%"),
        )
    ),
    *(
        xlsx(
            f"{code} by the format", with_number(3, code), rows={2: person(debt_amount=3, currency=currency)}
        )
        for code, currency in (
            ('"U.F." #,##0.00', "CLF"),
            ("[$UF] #,##0.00", "CLF"),
            ('General "UF"', "CLF"),
            ('"UF"* #,##0.00', "CLF"),
            ('#,##0 "pesos"', "CLP"),
            ('"S/" #,##0.00', "PEN"),
            ('"$"#,##0;[Red]"($"#,##0")"', "CLP"),
            ('_ "$"* #,##0_ ;_ "$"* \\-#,##0_ ;_ "$"* "-"_ ;_ @_ ', "CLP"),
            ("[$$-340A]\\ #,##0", "CLP"),
            ("#,##0.00", None),
        )
    ),
    xlsx(
        "a word of the format that is no unit of the variable",
        with_number(3, '0 "cuotas"', "Cuotas"),
        rows={2: person(additional_info={"Cuotas": "3"})},
    ),
    xlsx(
        "pesos as they are shown",
        with_number(150000.5, '"$" #,##0'),
        rows={2: person(debt_amount=150001, currency="CLP")},
        remark="'$ 150000.50' is read as 150001: the sheet shows 150000.5 so",
    ),
    xlsx(
        "thousands that the format hides",
        with_number(1234567, "#,##0,"),
        rows={2: person(debt_amount=1234567)},
        remark="the sheet shows it divided by 1,000",
    ),
    xlsx(
        "litres are no lempiras",
        with_number(12, '0 "L"', "Consumo"),
        rows={2: person(additional_info={"Consumo": "12"})},
    ),
    xlsx("formulas", with_formulas, rows={2: person(debt_amount=1190)}),
    xlsx(
        "formulas with errors",
        with_errors,
        rows={2: person(debt_amount=None, due_date=None, additional_info={})},
        bad={3: "no phone number"},
    ),
    xlsx(
        "merged cells",
        with_merged_cells,
        rows={3: person(debt_amount=100), 4: person(phone="56955550102", debt_amount=200)},
    ),
    xlsx("a filter", with_filter, rows=ANA),
    xlsx(
        "columns that nobody sees",
        with_hidden_columns,
        rows={2: person(additional_info={})},
        remark="column 3 ('Celular 2') is hidden in the sheet",
    ),
    xlsx("a table with totals", with_table, rows={4: person(debt_amount=100)}, remark="total"),
    xlsx("numbers as texts", with_texts, rows={2: person(debt_amount=150000.5, due_date="2026-12-31")}),
    xlsx(
        "a note right of the table",
        rows(TITLES[:2], ("Ana", 955550101, "ojo"), ("Eva", 955550102)),
        rows=BOTH,
        remark="column 3 has no title and is left out",
    ),
    xlsx(
        "a time",
        lambda book: rows(("Nombre", "Celular", "Hora"), ("Ana", 955550101))(book).write_datetime(
            1, 2, time(9, 30), book.add_format({"num_format": "hh:mm"})
        ),
        rows={2: person(additional_info={"Hora": "09:30:00"})},
    ),
    xlsx("a chart in front", with_chart_first, rows=ANA),
    xlsx(
        "CSV in the first column",
        with_csv_in_a_column,
        rows={2: person("Ana Soto", debt_amount=1000.5)},
        remark="one cell",
    ),
    xlsx("the table on the second sheet", with_instructions, refused="only 'Sheet1' was read, not 'Sheet2'"),
    xlsx(
        "a pivot table",
        rows(("Etiquetas de fila", "Suma de Monto"), ("Ana", 100)),
        refused="no column of phone numbers",
    ),
    xlsx("a workbook named .xls", rows(TITLES, ("Ana", 955550101)), filename="c.xls", rows=ANA),
    xlsx("a workbook named .csv", rows(TITLES, ("Ana", 955550101)), filename="c.csv", rows=ANA),
    xlsx("an empty workbook", rows(), refused="the file is empty"),
)
FILES: Final = (*EXPORTERS, *CELLS, *TABLES, *TEXTS, *NO_TABLES, *WORKBOOKS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_leads_to_the_right_value_or_the_right_sentence(file: InputFile) -> None:
    # All numbers are invented; without titles of landlines and mobiles one would not know which they are.
    choices = Choices(accepted=frozenset({Kind.UNASSIGNED, Kind.PLACEHOLDER}))
    if file.refused is not None:
        with pytest.raises(ImportFailed) as failed:
            parse_contacts(file.data, file.filename, country=file.country, choices=choices)
        assert file.refused in str(failed.value)
        return
    parsed = parse_contacts(file.data, file.filename, country=file.country, choices=choices)
    found = {row.line: _of(row, file.rows.get(row.line, {})) for row in parsed.rows}
    assert found == file.rows
    assert {bad.line for bad in parsed.bad_rows} == set(file.bad), parsed.bad_rows
    for bad in parsed.bad_rows:
        assert file.bad[bad.line] in bad.reason
    if file.remark is not None:
        assert any(file.remark in remark.text for remark in parsed.remarks), parsed.remarks


def _of(row: Row, wanted: Mapping[str, object]) -> dict[str, object]:
    return {name: getattr(row, name) for name in wanted or ("name", "phones")}


def test_a_hidden_column_can_be_named() -> None:
    file = next(file for file in WORKBOOKS if file.name == "columns that nobody sees")
    choices = Choices(mapping={"Celular 2": "phone"})
    (row,) = parse_contacts(file.data, file.filename, choices=choices).rows
    assert row.phones == ("+56955550101", "+56955550102")


def test_a_title_that_was_mapped_to_the_amount_names_its_currency_too() -> None:
    data = b"Nombre;Celular;Cuota UF\nAna;955550101;12,5\n"
    (row,) = parse_contacts(data, choices=Choices(mapping={"Cuota UF": "amount"})).rows
    assert (row.debt_amount, row.currency) == (12.5, "CLF")


def test_a_word_of_a_format_is_a_word_of_the_file_of_bad_rows() -> None:
    book = next(file for file in WORKBOOKS if file.name == '0 "UTM" by the format')
    (bad,) = parse_contacts(book.data, book.filename).bad_rows
    assert bad.cells == ["Ana", 955550101, "3 UTM"]


def test_the_format_s_word_beside_an_amount_is_read_as_the_same_word_in_a_text() -> None:
    for word in (*SYMBOLS, *CODES, "$", "pesos", "UTM", "mil", "bs"):
        book = xlsx(word, with_number(3, f'"{word}" 0.00'))
        text = csv(word, f"Nombre;Celular;Monto\nAna;955550101;{word} 3\n")
        assert _outcome(book) == _outcome(text), word


def _outcome(file: InputFile) -> object:
    parsed = parse_contacts(file.data, file.filename)
    return [(row.debt_amount, row.currency) for row in parsed.rows]


def test_hidden_rows_are_known_by_their_numbers() -> None:
    file = next(file for file in WORKBOOKS if file.name == "a filter")
    assert parse_contacts(file.data, file.filename).source.hidden_runs == ((3, 3),)


@pytest.mark.parametrize(
    ("code", "written"), [('"$" #,##0', "$ 150000"), ("#,##0", 150000), ("0.00", 150000.4)]
)
def test_a_file_of_bad_rows_has_the_amount_that_was_shown(code: str, written: object) -> None:
    def fill(book: Book) -> None:
        sheet = rows(("Nombre", "Celular", "Monto"), ("Ana", "no tiene"))(book)
        sheet.write_number(1, 2, 150000.4, book.add_format({"num_format": code}))

    (bad,) = parse_contacts(xlsx("", fill).data, "contacts.xlsx").bad_rows
    assert bad.cells[2] == written
