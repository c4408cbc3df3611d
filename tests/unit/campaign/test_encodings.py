"""Text files in the encodings of spreadsheets, old programs and files that were put together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.campaign.encodings import decode

TEXT = "nombre;telefono;monto\nJosé Muñoz;955550101;1000\nÁngela Núñez Íñiguez;955550102;2000\n"


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("cp1252", "Windows-1252"),
        ("mac_roman", "Mac Roman"),
        ("cp850", "DOS (code page 850)"),
    ],
)
def test_the_encodings_of_spanish_files_are_recognised(encoding: str, name: str) -> None:
    found = decode(TEXT.encode(encoding))
    assert (found.text, found.encoding) == (TEXT, name)


@pytest.mark.parametrize("encoding", ["cp1252", "mac_roman", "cp850"])
def test_a_guess_is_said_with_the_first_word_that_it_concerns(encoding: str) -> None:
    (remark,) = decode(TEXT.encode(encoding)).remarks
    assert "'José'" in remark


def test_words_that_a_program_garbled_are_mended_and_named() -> None:
    found = decode(TEXT.encode().decode("cp1252", errors="replace").replace("\ufffd", "?").encode())
    assert "José Muñoz;955550101" in found.text
    assert "'JosÃ©' is read as 'José'" in found.remarks[0]


def test_what_cannot_be_mended_is_named() -> None:
    found = decode("nombre\nMuÃ±ozÃ\n".encode())
    assert any("cannot be mended" in remark for remark in found.remarks)


def test_portuguese_capitals_are_not_taken_for_garbled() -> None:
    assert decode("SÃO PAULO;JOÃO;CONCEIÇÃO".encode()).remarks == ()


def test_lines_of_another_encoding_do_not_spoil_the_others() -> None:
    found = decode("José\n".encode() + "Muñoz\n".encode("cp1252"))
    assert found.text == "José\nMuñoz\n"
    assert "line 2, 'Muñoz'" in found.remarks[0]


@pytest.mark.parametrize("text", ["Â\u00a0", "\u00a0", "Â\u00a0José", "\u2028Ã©"])
def test_a_special_blank_beside_or_in_a_garbled_word_breaks_nothing(text: str) -> None:
    for encoding in ("utf-8", "cp1252"):
        assert isinstance(decode(text.encode(encoding, errors="replace")).text, str)


@given(st.binary(max_size=300))
def test_any_bytes_have_a_text(data: bytes) -> None:
    assert isinstance(decode(data).text, str)
