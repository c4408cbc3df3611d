"""One daemon answers each client in its language; what programs read is English."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.commands.conftest import Speechctl

Client = Callable[..., subprocess.CompletedProcess[str]]

ROWS = "nombre,telefono\nAna Rojas,+56955550071\nEva Diaz,12\n"


@pytest.fixture
def client(speechctl: Speechctl, tmp_path: Path) -> Client:
    """Runs speechctl as a process of its own, for a reader of a language."""

    def run(language: str, *argv: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "speechctl", *argv, "--socket", str(tmp_path / "control.sock")]
        return subprocess.run(
            command,
            env={**os.environ, "SPEECHAID_LANG": language},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


def test_each_client_reads_its_own_language(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "march.csv"
    file.write_text(ROWS, encoding="utf-8")
    dry_run = ("import", str(file), "--country", "CL", "--dry-run")
    spanish = client("es", *dry_run).stdout
    assert "march.csv: se importaría 1 contacto" in spanish
    assert "1 fila mala, no se importa:\n  línea 3: telefono: muy pocos dígitos" in spanish
    english = client("en", *dry_run).stdout
    assert "march.csv: 1 contact would be imported" in english
    assert "1 bad row, not imported:\n  line 3: telefono: too few digits" in english


def test_a_refusal_is_in_the_language_of_who_is_refused(client: Client) -> None:
    assert client("es", "batch", "nope").stderr.startswith("speechctl: lote: no existe 'nope'")
    assert client("en", "batch", "nope").stderr.startswith("speechctl: there is no batch 'nope'")


def test_what_a_process_of_its_own_refuses_is_in_the_language_of_who_is_refused(client: Client) -> None:
    assert client("es", "report", "--day", "hoy").stderr.startswith("speechctl: day: 'hoy' no es un día;")
    assert client("en", "report", "--day", "hoy").stderr.startswith("speechctl: day: 'hoy' is not a day;")


def test_json_is_english_whatever_the_reader_speaks(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "march.csv"
    file.write_text(ROWS, encoding="utf-8")
    answer = json.loads(client("es", "import", str(file), "--country", "CL", "--dry-run", "--json").stdout)
    (bad,) = answer["bad_rows"]
    assert bad["reason"].startswith("telefono: too few digits")
    refused = json.loads(client("es", "batch", "nope", "--json").stdout)
    assert refused["error"]["message"].startswith("there is no batch 'nope'")


def test_a_stored_record_is_english(client: Client) -> None:
    created = client("es", "create-batch", "Marzo", "--hours", "09:00-18:00")
    assert "para agregar contactos" in created.stdout
    shown = json.loads(client("es", "logs", "--commands", "--json").stdout)
    assert [(line["command"], line["outcome"]) for line in shown["lines"]] == [("create-batch", "done")]
