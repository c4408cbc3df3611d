"""The ``_id`` of a dial's result: one for each key, in the order of new keys."""

from __future__ import annotations

import pytest
from bson import ObjectId

from speechaid.store.call_results import result_id


@pytest.mark.parametrize("key", ["f" * 32, "0" * 24, "key-1", "", "ñ", "call:call_1"])
def test_a_key_always_gives_the_same_id(key: str) -> None:
    assert isinstance(result_id(key), ObjectId)
    assert result_id(key) == result_id(key)


def test_other_keys_give_other_ids() -> None:
    keys = [f"{number:024x}{'0' * 8}" for number in range(100)] + [f"key-{number}" for number in range(100)]
    assert len({result_id(key) for key in keys}) == len(keys)


def test_ids_of_new_keys_are_in_the_order_of_their_time() -> None:
    keys = [f"{second:08x}{'0' * 24}" for second in (0x6543_0000, 0x6543_0001, 0x6643_0000)]
    assert sorted(keys, key=result_id) == keys
