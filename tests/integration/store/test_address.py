"""What is told of an address of the database that does not lead there."""

from __future__ import annotations

import warnings
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from speechaid.daemon import _prepare
from speechaid.errors import ConfigError
from speechaid.settings import Settings, get_settings
from speechaid.store.connection import connect


def settings_for(uri: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in {
        "RETELL_API_KEY": "key_test_0123456789",
        "RETELL_AGENT_ID": "agent_1",
        "RETELL_FROM_NUMBER": "+56221234567",
    }.items():
        monkeypatch.setenv(name, value)
    found = get_settings()
    return found.model_copy(update={"database": found.database.model_copy(update={"uri": SecretStr(uri)})})


def test_a_wrong_password_is_a_fault_of_the_settings_that_names_the_address_alone(
    database_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(database_uri)
    if parts.username is None or parts.password is None:
        pytest.skip("this server lets everybody in")
    settings = settings_for(database_uri.replace(parts.password, "wrong-password"), monkeypatch)
    with closing(connect(settings.database)) as store, pytest.raises(ConfigError) as caught:
        _prepare(store, settings)
    (fault,) = caught.value.faults
    assert fault.startswith("MONGO_URI mongodb://")
    assert str(parts.port) in fault
    assert "wrong-password" not in fault


def remarks_on(uri: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    settings = settings_for(uri, monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = connect(settings.database)
    store.close()
    return store.remarks


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("replicSet=rs0", "replicSet"),  # misspelt
        ("wtimeoutMS=secret-value", "wtimeoutMS"),  # known, but not with this value
        ("retryWrites=true&replicSet=rs0&appName=other", "replicSet"),
        ("retryWrites=true;replicSet=rs0", "replicSet"),
    ],
)
def test_an_option_that_the_driver_does_not_know_is_one_line(
    monkeypatch: pytest.MonkeyPatch, option: str, name: str
) -> None:
    (remark,) = remarks_on(f"mongodb://maria:secret-password@127.0.0.1:1/?{option}", monkeypatch)
    assert remark.startswith("MONGO_URI: ")
    assert f" {name}," in remark
    assert remark.endswith("the option is ignored")
    assert "secret" not in remark
    assert "\n" not in remark


def test_options_that_the_driver_knows_are_no_remark(monkeypatch: pytest.MonkeyPatch) -> None:
    options = "ssl=true&replicaSet=rs0&wTimeoutMS=5&readPreference=nearest&readPreferenceTags=dc:ny"
    assert remarks_on(f"mongodb://a,b/?{options}&readPreferenceTags=", monkeypatch) == ()


@pytest.mark.parametrize("address", ["mongodb://maria:p%ss@db/", "mongodb://maria:p@ss@db/"])
def test_a_password_with_marks_of_an_address_is_told_how_to_be_written(
    environ: dict[str, str], address: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        connect(get_settings(environ, env_file=None).database, uri=address)
    assert "%40" in str(refused.value)
    assert "ss@" not in str(refused.value)
