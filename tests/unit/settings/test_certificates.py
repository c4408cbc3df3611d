"""Certificate files that the settings name: one line each at the start, no traceback and no endless retry."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from speechaid.errors import ConfigError
from speechaid.settings import get_settings
from speechaid.settings.certificates import certificate_faults

RETELL = "https://api.retellai.com"
OPTIONS = ("tlsCAFile", "tlsCRLFile", "tlsCertificateKeyFile")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its encrypted private key in one file."""
    place = tmp_path_factory.mktemp("pem")
    command = "openssl req -x509 -newkey rsa:2048 -passout pass:opensesame -subj /CN=x -days 2"
    subprocess.run(
        [*command.split(), "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=place,
        check=True,
        capture_output=True,
    )
    both = place / "both.pem"
    both.write_bytes((place / "cert.pem").read_bytes() + (place / "key.pem").read_bytes())
    return both


def uri(**options: object) -> str:
    return "mongodb://db/?tls=true" + "".join(f"&{name}={value}" for name, value in options.items())


def mongo_faults(**options: object) -> list[str]:
    return certificate_faults(uri(**options), RETELL, {})


@pytest.mark.parametrize("option", OPTIONS)
def test_a_missing_file_is_named_with_its_option(option: str, tmp_path: Path) -> None:
    (fault,) = mongo_faults(**{option: tmp_path / "none.pem"})
    assert fault.startswith(
        f"MONGO_URI: {option}={tmp_path}/none.pem cannot be read (No such file or directory)"
    )


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("content", [b"", b"not PEM\n", b"\x30\x82\xff\x00"])
def test_a_file_that_is_no_pem_is_named_with_what_is_allowed(
    option: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "bad.pem").write_bytes(content)
    (fault,) = mongo_faults(**{option: tmp_path / "bad.pem"})
    assert f"{option}={tmp_path}/bad.pem is not of that kind; allowed: a PEM file" in fault
    assert "\n" not in fault


def test_a_directory_is_no_certificate_file_for_mongodb(tmp_path: Path) -> None:
    assert "is not a file" in mongo_faults(tlsCAFile=tmp_path)[0]


def test_good_files_are_no_fault(pem: Path) -> None:
    assert (
        mongo_faults(tlsCAFile=pem, tlsCertificateKeyFile=pem, tlsCertificateKeyFilePassword="opensesame")
        == []
    )


def test_the_names_of_options_are_read_in_any_case(tmp_path: Path) -> None:
    assert mongo_faults(tlscafile=tmp_path / "none")


@pytest.mark.parametrize("password", [{}, {"tlsCertificateKeyFilePassword": "hunter2"}])
def test_a_key_that_its_password_does_not_open_is_a_fault_that_does_not_show_it(
    pem: Path, password: dict[str, str]
) -> None:
    (fault,) = mongo_faults(tlsCertificateKeyFile=pem, **password)
    assert "hunter2" not in fault
    assert "tlsCertificateKeyFilePassword opens the key" in fault


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_missing_bundle_for_retell_is_named_with_its_variable(variable: str, tmp_path: Path) -> None:
    (fault,) = certificate_faults("mongodb://db", RETELL, {variable: f"{tmp_path}/none.pem"})
    assert fault.startswith(f"{variable}={tmp_path}/none.pem cannot be read")


def test_a_bundle_may_be_a_directory_and_does_not_matter_over_http(tmp_path: Path) -> None:
    assert certificate_faults("mongodb://db", RETELL, {"REQUESTS_CA_BUNDLE": str(tmp_path)}) == []
    missing = {"REQUESTS_CA_BUNDLE": f"{tmp_path}/none.pem"}
    assert certificate_faults("mongodb://db", "http://127.0.0.1:9090", missing) == []


def test_settings_with_such_a_file_are_refused(tmp_path: Path) -> None:
    environ = {
        "MONGO_URI": uri(tlsCAFile=tmp_path / "none.pem"),
        "RETELL_API_KEY": "key_1",
        "RETELL_AGENT_ID": "agent_1",
        "RETELL_FROM_NUMBER": "+56221234567",
        "REQUESTS_CA_BUNDLE": f"{tmp_path}/other.pem",
    }
    with pytest.raises(ConfigError) as caught:
        get_settings(environ, None)
    assert [fault.partition("=")[0] for fault in caught.value.faults] == [
        "MONGO_URI: tlsCAFile",
        "REQUESTS_CA_BUNDLE",
    ]
