"""Hashes of passwords: one at a time, a bounded number that waits, and the same work for an unknown user."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor
from concurrent.futures import wait as wait_for

import pytest

from speechaid.errors import LoginsBusy
from speechaid.store import passwords
from speechaid.store.passwords import PasswordHashes, one_at_a_time

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def hashes() -> PasswordHashes:
    return PasswordHashes(passes=1, memory_kib=64)


def test_a_hash_is_argon2id_with_the_librarys_costs() -> None:
    import argon2

    stored = PasswordHashes().hash(PASSWORD)
    assert stored.startswith("$argon2id$")
    costs = f"m={argon2.DEFAULT_MEMORY_COST},t={argon2.DEFAULT_TIME_COST},p={argon2.DEFAULT_PARALLELISM}"
    assert costs in stored


def test_a_right_password_is_right_and_no_other(hashes: PasswordHashes) -> None:
    stored = hashes.hash(PASSWORD)
    assert hashes.check(stored, PASSWORD).is_right
    assert not hashes.check(stored, PASSWORD + " ").is_right
    assert not hashes.check(stored, "").is_right


@pytest.mark.parametrize("stored", [None, "", "plain", "$argon2id$v=19$broken"])
def test_without_a_hash_no_password_is_right(hashes: PasswordHashes, stored: str | None) -> None:
    assert not hashes.check(stored, PASSWORD).is_right


def test_two_hashes_of_one_password_differ(hashes: PasswordHashes) -> None:
    assert hashes.hash(PASSWORD) != hashes.hash(PASSWORD)


def test_a_bounded_number_waits_and_one_more_is_refused() -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with one_at_a_time():
            entered.set()
            leave.wait(60)

    def wait() -> bool:
        try:
            with one_at_a_time():
                return True
        except LoginsBusy:
            return False

    with ThreadPoolExecutor(2 * passwords.MOST_WAITING) as pool:
        first = pool.submit(hold)
        entered.wait(60)
        others = [pool.submit(wait) for _ in range(passwords.MOST_WAITING)]
        # The first holds one place, so of these one finds none.
        wait_for(others, return_when=FIRST_COMPLETED)
        leave.set()
        first.result()
        results = [other.result() for other in others]
    assert results.count(False) >= 1
    with one_at_a_time():
        pass
