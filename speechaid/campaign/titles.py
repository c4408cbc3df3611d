"""The titles of a contacts file's columns: data, in Spanish, Portuguese and English.

What companies of Chile, Argentina, Mexico, Colombia, Peru, Ecuador and Brazil call their columns, and the
exports of HubSpot, Google Contacts, Outlook and VICIdial. Titles are compared folded: lower case, no accents,
one blank between words.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """What a column is taken for; the values are what ``--map TITLE=ROLE`` takes."""

    NAME = "name"
    SURNAME = "surname"
    DNI = "id"
    CHECK_DIGIT = "check-digit"
    PHONE = "phone"
    COUNTRY_CODE = "country-code"
    AREA_CODE = "area-code"
    DO_NOT_CALL = "do-not-call"
    COMPANY_NAME = "company"
    DEBT_AMOUNT = "amount"
    CURRENCY = "currency"
    DUE_DATE = "due-date"
    REFERENCE_NUMBER = "reference"
    VARIABLE = "variable"
    LEFT_OUT = "left-out"


#: The plainest title of each role first: where a file has two of them, the one that comes first here is used.
TITLES: Final[Mapping[Role, str]] = {
    Role.NAME: (
        "nombre completo, nombre y apellido, nombre y apellidos, nombres y apellidos, apellidos y "
        "nombres, apellido y nombre, apellidos y nombre, apellidos nombres, apellido nombre, "
        "nombre cliente, nombre del cliente, nombre deudor, nombre del "
        "deudor, nombre titular, nombre contacto, nombre del contacto, nombre persona, nombre del tercero, "
        "nombre tercero, nombre o razon social, nombre razon social, nombre 1, full name, "
        "contact name, customer name, client name, lead name, display name, file as, nome completo, "
        "nome do cliente, nome cliente, razon social, titular, nombre, nombres, name, nome, contacto, "
        "contact, cliente, customer, deudor, debtor, contato, first name, given name, primer nombre, "
        "middle name, segundo nombre, additional name"
    ),
    Role.SURNAME: (
        "apellidos, apellido, surname, last name, family name, apellido paterno, primer apellido, "
        "apellido 1, apellido materno, segundo apellido, apellido 2, ap paterno, ap materno, paterno, "
        "materno, sobrenome"
    ),
    Role.DNI: (
        "rut, dni, run, rut cliente, rut deudor, rut titular, rut dv, document, documento, document "
        "number, numero documento, numero de documento, nro documento, nro de documento, num documento, "
        "no documento, documento identidad, documento de identidad, cedula, cedula de ciudadania, "
        "cedula identidad, cc, ci, identificacion, numero identificacion, numero de identificacion, nro "
        "identificacion, national id, id number, nif, nit, cuit, cuil, cpf, cnpj, cpf cnpj, curp, rfc, "
        "ruc, vat, tax id, id cliente, id deudor, vendor lead code"
    ),
    Role.CHECK_DIGIT: (
        "dv, digito verificador, digito de verificacion, dig verificador, digito verif, check digit"
    ),
    Role.COMPANY_NAME: (
        "empresa, company, company name, compania, nombre empresa, nombre de la empresa, acreedor, "
        "creditor, mandante, cedente, organization, organization name, organizacion, empresa acreedora, "
        "credor, cliente mandante"
    ),
    Role.DEBT_AMOUNT: (
        "monto total, deuda total, total deuda, total adeudado, total a pagar, monto a pagar, saldo "
        "total, total amount, amount due, total vencido, "
        "valor vencido, total en mora, monto, monto deuda, monto de la deuda, monto adeudado, monto "
        "vencido, monto total adeudado, deuda, debt, debt amount, amount, saldo, saldo deudor, saldo "
        "insoluto, saldo vencido, saldo pendiente, saldo a pagar, importe, importe total, importe "
        "adeudado, importe deuda, balance, adeudo, adeudo total, deuda vencida, valor, valor total, "
        "valor deuda, valor a pagar, valor adeudado, valor da divida, divida, valor em aberto, saldo "
        "cartera, saldo documento, saldo actual, deuda actual, deuda morosa, monto moroso, importe en ml, "
        "importe en moneda local, outstanding balance, outstanding amount, amount outstanding, saldo "
        "capital, saldo de capital, capital vencido, valor en mora, monto en mora, saldo en mora"
    ),
    Role.CURRENCY: "moneda, divisa, currency, currency code, tipo moneda, tipo de moneda, moeda, mon",
    Role.DUE_DATE: (
        "fecha limite, fecha limite de pago, fecha limite pago, fecha vencimiento, fecha de "
        "vencimiento, fec vencimiento, fec vcto, fecha vcto, f vencimiento, vencimiento, vcto, due "
        "date, due, payment due date, fecha de pago, fecha pago, data de vencimento, data vencimento, "
        "vencimento, venc neto, vencimiento neto, fecha venc, fec venc, f venc, fecha vto, f vto, vto"
    ),
    Role.REFERENCE_NUMBER: (
        "referencia, reference, reference number, numero referencia, numero de referencia, nro "
        "referencia, ref, reference no, numero operacion, nro operacion, operacion, numero contrato, "
        "nro contrato, contrato, numero credito, nro credito, credito, numero cuenta, nro cuenta, "
        "numero factura, nro factura, factura, poliza, numero poliza, pagare"
    ),
    Role.COUNTRY_CODE: (
        "phone code, country code, codigo pais, codigo de pais, cod pais, pais telefono, prefijo pais, "
        "codigo do pais, indicativo pais, phone country, phone country code, pais del telefono, country iso, "
        "country iso code, iso country code, pais iso, pais, country, country name, country region, "
        "country region code, pais region, pais o region, nombre pais, pais cliente, pais del cliente, ddi"
    ),
    Role.AREA_CODE: (
        "area code, codigo area, codigo de area, cod area, codigo ciudad, codigo de ciudad, ddd, lada, "
        "clave lada"
    ),
    # Also Salesforce's fields DoNotCall and HasOptedOutOfCall, Zoho's Call Opt Out, HubSpot's Do not call.
    Role.DO_NOT_CALL: (
        "do not call, no llamar, donotcall, do not call me, do not phone, do not contact, dnc, dnc flag, dnc "
        "status, on dnc list, do not call list, hasoptedoutofcall, has opted out of call, has opted out of "
        "calls, call opt out, phone opt out, opt out, optout, opted out, opted out of calls, no contactar, "
        "no llame, no molestar, excluir, excluido, exclusion, lista negra, blacklist, blacklisted, "
        "bloqueado, lista no llamar, en lista no llamar, no desea llamadas, no quiere llamadas, "
        "nao ligar, nao perturbe"
    ),
}
#: Titles of a part of the name: joined, where no column has the whole name.
FIRST_NAMES: Final = frozenset(
    {
        *("nombre", "nombres", "name", "nome", "first name", "given name", "primer nombre", "middle name"),
        *("segundo nombre", "additional name"),
    }
)
#: Who a row may be about: a title of one of these words, or of ``nombre`` and one of them, is a name's.
PERSON_WORDS: Final = frozenset(
    {
        *("acreditado", "afiliado", "aluno", "alumno", "apoderado", "arrendatario", "asegurado", "associado"),
        *("borrower", "cardholder", "comprador", "contribuyente", "cuentahabiente", "deudor principal"),
        *("deudor titular", "devedor", "empleado", "employee", "estudiante", "huesped", "inquilino"),
        *("locatario", "member", "moroso", "mutuario", "obligado", "paciente", "patient", "persona"),
        *("postulante", "prestatario", "propietario", "prospecto", "sacado", "segurado", "socio", "student"),
        *("suscriptor", "tarjetahabiente", "tenant", "titular cuenta", "titular de la cuenta", "trabajador"),
        *("tutor", "cliente", "deudor", "titular", "contacto", "customer", "client", "debtor"),
        *("account holder", "pasajero", "responsable de pago", "consumidor", "solicitante", "candidato"),
    }
)
#: Titles of a name, or of something else: a name's where the cells look like names.
UNCERTAIN_NAMES: Final = frozenset(
    {
        *("subject", "sujeto", "person", "people", "personas", "lead", "user", "usuario", "account name"),
        *("denominacion", "descripcion cliente", "party", "alias", "recipient", "destinatario", "payer"),
        *("pagador", "beneficiario", "holder", "owner name", "nombre cuenta", "nombre de la cuenta"),
    }
)
#: Titles of whole names that begin with the surnames.
SURNAMES_FIRST: Final = frozenset(
    {"apellidos y nombres", "apellido y nombre", "apellidos y nombre", "apellidos nombres", "apellido nombre"}
)
#: Ids that a company gave: they have no check digit.
COMPANY_IDS: Final = frozenset({"id cliente", "id deudor", "id number", "vendor lead code"})
#: What may stand for "número" before a title: ``N° Operación``, ``No. de factura``.
NUMBER_WORDS: Final = ("n o", "n", "no", "nro", "num", "nr")
#: Titles of an id that mean the debt's document where another column is the id.
DOCUMENT_NUMBERS: Final = frozenset(
    {
        *("documento", "document", "document number", "numero documento", "numero de documento"),
        *("nro documento", "nro de documento", "num documento", "no documento"),
    }
)
#: A title with one of these words, numbered or not, is called a phone.
PHONE_WORDS: Final = frozenset(
    {
        *("phone", "phones", "telephone", "mobile", "cell", "cellphone", "telefono", "telefonos"),
        *("fono", "fonos", "celular", "celulares", "cel", "movil", "moviles", "tel", "tels", "telf"),
        *("telefo", "tlf", "tfno", "tfo", "fone", "telefone", "celulares", "whatsapp", "wsp", "wapp"),
        *("whats", "contactable", "ph"),
    }
)
#: Those of them that mean a mobile.
MOBILE_WORDS: Final = frozenset(
    {
        *("mobile", "cell", "cellphone", "celular", "celulares", "cel", "movil", "moviles"),
        *("whatsapp", "wsp", "wapp", "whats"),
    }
)
#: Titles of phones that have no such word.
PHONE_TITLES: Final = frozenset(
    {
        *("to number", "numero a llamar", "numero contacto", "numero de contacto", "msisdn", "ani"),
        *("nro contacto", "nro de contacto", "num contacto", "contacto telefonico", "numero telefonico"),
        *("contact number", "contact no", "fijo", "red fija", "linea fija"),
    }
)
#: With one of these words a title tells about a phone and is none.
ABOUT_PHONES: Final = frozenset(
    {
        *("label", "type", "tipo", "operador", "operadora", "compania", "carrier", "code", "codigo"),
        *("prefijo", "estado", "status", "fecha", "ext", "extension", "anexo", "interno", "lada"),
        *("ddd", "ddi", "pais", "country", "nota", "notas", "observacion", "observaciones", "comentario"),
        *("modelo", "plan", "marca"),
    }
)
#: Further variables of existing prompts, in their spelling.
PROMPT_NAMES: Final = {
    "cantidad cupones": "cantidad_cupones",
    "cantidad de cupones": "cantidad_cupones",
    "fecha maxima": "fecha_maxima",
}
#: Columns that speechctl adds to a file of bad rows; ignored when the corrected file is imported.
REMARK_COLUMNS: Final = frozenset({"_line", "_reason"})
