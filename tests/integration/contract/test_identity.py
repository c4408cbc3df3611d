"""Users, tokens, sessions and failed logins, on each server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from speechaid.errors import LoginRefused, NotFound, TooManyTries
from speechaid.model.identity import TOKEN_PREFIX, PrincipalKind, Role, User
from speechaid.store import identity
from speechaid.store.connection import Store
from speechaid.store.identity import Identities
from speechaid.store.passwords import PasswordHashes
from speechaid.store.table import Duplicate

PASSWORD = "correct horse battery"
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def identities(store: Store) -> Iterator[Identities]:
    opened = open_identities(store)
    yield opened
    for table, _ in opened.indexed():
        table.delete({})


def open_identities(store: Store) -> Identities:
    """As the store's own, with hashes that cost little."""
    own = store.identities
    return Identities(
        users=own.users,
        tokens=own.tokens,
        sessions=own.sessions,
        tries=own.tries,
        now=store.now,
        hashes=PasswordHashes(passes=1, memory_kib=64),
    )


@pytest.fixture
def maria(identities: Identities) -> User:
    return add_user(identities)


def add_user(
    identities: Identities, name: str = "maria", role: Role = Role.MANAGER, account_id: str | None = None
) -> User:
    identities.create_user(name, role=role, account_id=account_id, password=PASSWORD, by="root (uid 0)")
    found = identities.find_user(name)
    assert found is not None
    return found


def set_back(identities: Identities, **seconds: float) -> None:
    """Make sessions and counts older, by fields."""
    for table in (identities.sessions, identities.tries):
        for row in table.find({}):
            older = {name: row[name] - timedelta(seconds=by) for name, by in seconds.items() if name in row}
            if older:
                table.update({"_id": row["_id"]}, {"$set": older})


def fail(identities: Identities, times: int, *, name: str = "maria", address: str = ELSEWHERE) -> None:
    for _ in range(times):
        with pytest.raises(LoginRefused) as refused:
            identities.check_login(name, "wrong password", address)
        assert not isinstance(refused.value, TooManyTries)


def stored(identities: Identities) -> str:
    return repr([table.find({}) for table, _ in identities.indexed()])


# -- users ---------------------------------------------------------------------------------------------------


def test_a_user_logs_in_with_name_and_password(identities: Identities, maria: User) -> None:
    assert identities.check_login(" Maria", PASSWORD, HOME).name == maria.name
    found = identities.find_user("maria")
    assert found is not None
    assert found.login_at is not None


def test_a_name_is_given_once(identities: Identities, maria: User) -> None:
    with pytest.raises(Duplicate):
        add_user(identities, maria.name, Role.ADMIN)
    assert [user.role for user in identities.find_users()] == [Role.MANAGER]


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("maria", "wrong password"),
        ("maria", ""),
        ("maria", PASSWORD + "x" * 2000),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("$ne", PASSWORD),
    ],
)
def test_a_refused_login_does_not_say_what_was_wrong(
    identities: Identities, maria: User, name: str, password: str
) -> None:
    assert maria.name == "maria"
    with pytest.raises(LoginRefused, match=r"^name or password is wrong$"):
        identities.check_login(name, password, HOME)


def test_a_disabled_user_is_refused_as_an_unknown_one(identities: Identities, maria: User) -> None:
    secret, _ = identities.start_session(maria)
    identities.disable_user("maria")
    assert identities.find_session(secret) is None
    with pytest.raises(LoginRefused, match=r"^name or password is wrong$"):
        identities.check_login("maria", PASSWORD, HOME)
    with pytest.raises(LoginRefused):
        identities.start_session(maria)
    identities.enable_user("maria")
    identities.check_login("maria", PASSWORD, HOME)
    assert identities.find_session(secret) is None


def test_a_hash_of_other_parameters_is_renewed_at_the_login(identities: Identities, maria: User) -> None:
    from argon2 import PasswordHasher

    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    identities.users.update({"_id": maria.name}, {"$set": {"hash": weak}})
    identities.check_login("maria", PASSWORD, HOME)
    row = identities.users.find_one({"_id": "maria"})
    assert row is not None
    assert row["hash"] != weak
    identities.check_login("maria", PASSWORD, HOME)


def test_a_stored_hash_that_is_none_lets_nobody_in(identities: Identities, maria: User) -> None:
    for wrong in (None, "", "plain text", 5, {"$ne": None}):
        identities.users.update({"_id": maria.name}, {"$set": {"hash": wrong}})
        with pytest.raises(LoginRefused):
            identities.check_login("maria", PASSWORD, HOME)


def test_a_password_is_the_same_however_its_accents_are_typed(identities: Identities, maria: User) -> None:
    identities.set_password(maria.name, "contrase\u00f1a larga")
    identities.check_login("maria", "contrasen\u0303a larga", HOME)


def test_a_new_password_ends_the_sessions(identities: Identities, maria: User) -> None:
    secret, _ = identities.start_session(maria)
    identities.set_password(maria.name, "another long password")
    assert identities.find_session(secret) is None
    with pytest.raises(LoginRefused):
        identities.check_login("maria", PASSWORD, HOME)


def test_no_secret_is_stored(identities: Identities, maria: User) -> None:
    session, _ = identities.start_session(maria)
    token, _ = identities.create_token(
        "crm", role=Role.VIEWER, account_id=None, lasts_seconds=60, by="maria (user)"
    )
    text = stored(identities)
    assert not any(secret in text for secret in (PASSWORD, session, token))


@pytest.mark.parametrize("change", ["set_password", "disable_user", "enable_user", "end_sessions"])
def test_a_user_that_there_is_not_is_named(identities: Identities, change: str) -> None:
    arguments = ["nobody", PASSWORD] if change == "set_password" else ["nobody"]
    with pytest.raises(NotFound, match="nobody"):
        getattr(identities, change)(*arguments)


def test_a_user_of_another_account_is_not_found(identities: Identities) -> None:
    add_user(identities, account_id="acc-1")
    add_user(identities, "luis", account_id="acc-2")
    assert [user.name for user in identities.find_users("acc-1")] == ["maria"]
    assert identities.find_user("luis", "acc-1") is None
    assert identities.find_user("luis") is not None


# -- sessions ------------------------------------------------------------------------------------------------


def test_a_session_has_its_users_present_rights(identities: Identities, maria: User) -> None:
    secret, session = identities.start_session(maria)
    found = identities.find_session(secret)
    assert found is not None
    assert found[0].key == session.key
    assert found[1] == maria.as_principal(PrincipalKind.SESSION)
    identities.edit_user("maria", {"role": "viewer", "account_id": "acc-1"})
    found = identities.find_session(secret)
    assert found is not None
    assert (found[1].role, found[1].account_id) == (Role.VIEWER, "acc-1")


@pytest.mark.parametrize("secret", ["", "x", "x" * 5000, "\ud800"])
def test_what_is_no_session_opens_none(identities: Identities, maria: User, secret: str) -> None:
    _, session = identities.start_session(maria)
    assert identities.find_session(secret) is None
    assert identities.find_session(session.key) is None


@pytest.mark.parametrize(
    ("seconds", "is_open"),
    [
        ({"used_at": identity.IDLE_SECONDS - 5}, True),
        ({"used_at": identity.IDLE_SECONDS + 1}, False),
        ({"created_at": 11 * 3600, "expires_at": 11 * 3600}, True),
        ({"created_at": 12 * 3600, "expires_at": 12 * 3600}, False),
        # The database's clock was set back.
        ({"created_at": -3600, "used_at": -3600, "expires_at": -3600}, False),
        ({"created_at": -5, "used_at": -5, "expires_at": -5}, True),
    ],
)
def test_a_session_ends_by_itself(
    identities: Identities, maria: User, seconds: dict[str, float], is_open: bool
) -> None:
    secret, _ = identities.start_session(maria)
    set_back(identities, **seconds)
    assert (identities.find_session(secret) is not None) is is_open
    assert bool(identities.find_sessions("maria")) is is_open


def test_use_keeps_a_session(identities: Identities, maria: User) -> None:
    secret, _ = identities.start_session(maria)
    for _ in range(3):
        set_back(identities, used_at=identity.IDLE_SECONDS - 60)
        assert identities.find_session(secret) is not None


def test_sessions_end_one_by_one_and_all_at_once(identities: Identities, maria: User) -> None:
    secrets = [identities.start_session(maria)[0] for _ in range(3)]
    keys = [session.key for session in identities.find_sessions("maria")]
    assert len(set(keys)) == 3
    assert identities.end_session(secrets[0])
    assert not identities.end_session(secrets[0])
    assert identities.end_sessions("maria", identities.find_sessions("maria")[0].key) == 1
    assert identities.end_sessions("maria", "0" * 12) == 0
    assert sum(identities.find_session(secret) is not None for secret in secrets) == 1
    assert identities.end_sessions("maria") == 1
    assert not any(identities.find_session(secret) for secret in secrets)


def test_a_login_under_way_does_not_outlive_the_end_of_all_sessions(
    identities: Identities, maria: User
) -> None:
    secret, _ = identities.start_session(maria)
    row: dict[str, Any] = identities.sessions.find({})[0]
    identities.end_sessions("maria")
    identities.sessions.insert(row)
    assert identities.find_session(secret) is None


def test_a_further_login_ends_the_oldest_session(identities: Identities, maria: User) -> None:
    first, _ = identities.start_session(maria)
    set_back(identities, created_at=60)
    for _ in range(identity.MOST_SESSIONS):
        identities.start_session(maria)
    assert identities.find_session(first) is None
    assert len(identities.find_sessions("maria")) == identity.MOST_SESSIONS


# -- tokens --------------------------------------------------------------------------------------------------


def test_a_token_works_until_it_is_revoked(identities: Identities) -> None:
    secret, token = identities.create_token(
        "crm", role=Role.OPERATOR, account_id="acc-1", lasts_seconds=3600, by="maria (user)"
    )
    assert identities.find_token(secret) == token.as_principal()
    assert identities.find_tokens()[0].used_at is not None
    with pytest.raises(NotFound):
        identities.revoke_token("crm", by="luis (user)", account_id="acc-2")
    assert identities.find_token(secret) is not None
    assert identities.revoke_token("crm", by="maria (user)", account_id="acc-1")
    assert identities.find_token(secret) is None
    assert not identities.revoke_token("crm", by="maria (user)")
    with pytest.raises(Duplicate):
        identities.create_token("crm", role=Role.VIEWER, account_id=None, lasts_seconds=60, by="x")


def test_a_token_has_256_bits_and_expires(identities: Identities) -> None:
    secret, token = identities.create_token(
        "crm", role=Role.VIEWER, account_id=None, lasts_seconds=60, by="maria (user)"
    )
    assert secret.startswith(TOKEN_PREFIX)
    assert len(secret.removeprefix(TOKEN_PREFIX)) * 6 >= 256
    assert token.expires_at is not None
    identities.tokens.update(
        {"_id": "crm"}, {"$set": {"expires_at": token.expires_at - timedelta(minutes=1)}}
    )
    assert identities.find_token(secret) is None


@pytest.mark.parametrize("secret", ["", "spt_", "spt_" + "x" * 5000, "crm"])
def test_what_is_no_token_is_refused(identities: Identities, secret: str) -> None:
    identities.create_token("crm", role=Role.VIEWER, account_id=None, lasts_seconds=60, by="x")
    assert identities.find_token(secret) is None


# -- failed logins -------------------------------------------------------------------------------------------


def test_tries_for_one_user_are_limited_over_all_addresses(identities: Identities, maria: User) -> None:
    for number in range(identity.USER_TRIES):
        fail(identities, 1, name=maria.name, address=f"198.51.100.{number}")
    with pytest.raises(TooManyTries) as refused:
        identities.check_login("maria", PASSWORD, "198.51.100.99")
    assert 0 < refused.value.seconds <= identity.WINDOW_SECONDS


def test_a_user_that_there_is_not_is_limited_alike(identities: Identities, maria: User) -> None:
    assert maria.name == "maria"
    for name in ("maria", "nobody"):
        fail(identities, identity.USER_TRIES, name=name)
        with pytest.raises(TooManyTries):
            identities.check_login(name, PASSWORD, ELSEWHERE)


def test_tries_from_one_address_are_limited_over_all_users(identities: Identities) -> None:
    for number in range(identity.ADDRESS_TRIES):
        fail(identities, 1, name=f"user-{number}")
    with pytest.raises(TooManyTries):
        identities.check_login("another", PASSWORD, ELSEWHERE)
    fail(identities, 1, name="another", address="198.51.100.8")


def test_strangers_do_not_lock_a_user_out_of_a_known_address(identities: Identities, maria: User) -> None:
    identities.check_login("maria", PASSWORD, HOME)
    fail(identities, identity.USER_TRIES, name=maria.name)
    with pytest.raises(TooManyTries):
        identities.check_login("maria", PASSWORD, ELSEWHERE)
    identities.check_login("maria", PASSWORD, HOME)


def test_a_known_address_has_a_limit_of_its_own(identities: Identities, maria: User) -> None:
    identities.check_login("maria", PASSWORD, HOME)
    fail(identities, identity.USER_TRIES, name=maria.name, address=HOME)
    with pytest.raises(TooManyTries):
        identities.check_login("maria", PASSWORD, HOME)


def test_addresses_of_one_ipv6_network_count_as_one(identities: Identities, maria: User) -> None:
    for number in range(identity.ADDRESS_TRIES):
        fail(identities, 1, name=f"user-{number}", address=f"2001:db8::{number:x}")
    with pytest.raises(TooManyTries):
        identities.check_login("maria", PASSWORD, "2001:db8::ffff")
    identities.check_login(maria.name, PASSWORD, "2001:db8:0:1::1")


def test_successful_logins_use_no_try_up(identities: Identities, maria: User) -> None:
    for number in range(identity.USER_TRIES + 2):
        identities.check_login(maria.name, PASSWORD, f"203.0.113.{number}")


def test_a_limit_ends_with_its_window(identities: Identities, maria: User) -> None:
    fail(identities, identity.USER_TRIES, name=maria.name)
    set_back(identities, until=identity.WINDOW_SECONDS)
    identities.check_login("maria", PASSWORD, ELSEWHERE)


def test_a_clock_that_was_set_back_locks_nobody_out(identities: Identities, maria: User) -> None:
    fail(identities, identity.USER_TRIES, name=maria.name)
    set_back(identities, until=-86_400)
    identities.check_login("maria", PASSWORD, ELSEWHERE)


def test_a_restart_forgets_no_try(identities: Identities, store: Store, maria: User) -> None:
    fail(identities, identity.USER_TRIES, name=maria.name)
    again = open_identities(store)
    with pytest.raises(TooManyTries):
        again.check_login("maria", PASSWORD, ELSEWHERE)
