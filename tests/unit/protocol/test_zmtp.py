"""ZeroMQ's wire protocol, decoded from bytes that come in any pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechaid.protocol.zmtp import (
    GREETING,
    PARTS_KEPT,
    Decoder,
    Message,
    ZmtpFault,
    encode_message,
    ready,
)

LIMIT = 5_000


def greeted() -> Decoder:
    decoder = Decoder(LIMIT)
    decoder.add(GREETING + ready(b"DEALER"))
    assert decoder.take_message() is None
    assert decoder.is_ready
    return decoder


def messages_of(decoder: Decoder) -> list[Message]:
    found = []
    while (message := decoder.take_message()) is not None:
        found.append(message)
    return found


@given(
    sent=st.lists(st.lists(st.binary(max_size=700), min_size=1, max_size=3), max_size=5),
    pieces=st.lists(st.integers(1, 400)),
)
def test_messages_arrive_whole_however_their_bytes_are_cut(
    sent: list[list[bytes]], pieces: list[int]
) -> None:
    data = GREETING + ready(b"DEALER") + b"".join(map(encode_message, sent))
    decoder, found, at = Decoder(LIMIT), [], 0
    for size in [*pieces, len(data)]:
        decoder.add(data[at : at + size])
        at += size
        found += messages_of(decoder)
    assert found == [Message(tuple(parts), len(parts)) for parts in sent]
    assert decoder.buffered == 0


def test_parts_past_the_third_are_counted_and_not_kept() -> None:
    decoder = greeted()
    decoder.add(encode_message([b"a"] * 500))
    (message,) = messages_of(decoder)
    assert (message.parts, message.count) == ((b"a",) * PARTS_KEPT, 500)


def test_a_flood_of_frames_is_a_fault_long_before_its_end() -> None:
    decoder = greeted()
    decoder.add(b"\x01\x00" * 2_000)
    with pytest.raises(ZmtpFault, match="more than 1000 frames"):
        decoder.take_message()


@pytest.mark.parametrize(
    "frame",
    [
        b"\x02" + (LIMIT + 1).to_bytes(8, "big"),
        b"\x02" + b"\xff" * 8,
        b"\x03" + (LIMIT - 10).to_bytes(8, "big") + bytes(LIMIT - 10) + b"\x00\x20",
        b"\x06" + (100_000).to_bytes(8, "big"),
    ],
    ids=["a frame", "the largest", "several together", "a command"],
)
def test_a_size_far_above_the_limit_is_a_fault_before_its_bytes_come(frame: bytes) -> None:
    decoder = greeted()
    decoder.add(frame)
    with pytest.raises(ZmtpFault, match="far above"):
        decoder.take_message()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GET / HTTP/1.1\r\n", "does not speak ZeroMQ"),
        (b"\xff" + bytes(64), "does not speak ZeroMQ"),
        (GREETING[:10] + bytes([1]), "before 3.0"),
        (GREETING[:12] + b"CURVE".ljust(20, b"\0") + GREETING[32:], "encryption"),
        (GREETING + encode_message([b"{}"]), "before the handshake"),
        (GREETING + b"\x04\x06\x05ERROR", "handshake is not understood"),
        (GREETING + ready(b"DEALER") + b"\x08\x00", "flags"),
        (GREETING + ready(b"DEALER") + b"\x01\x00\x04\x00", "flags"),
    ],
)
def test_what_is_not_the_protocol_is_a_fault(data: bytes, text: str) -> None:
    decoder = Decoder(LIMIT)
    decoder.add(data)
    with pytest.raises(ZmtpFault, match=text):
        decoder.take_message()


def test_a_ping_is_answered_and_other_commands_are_passed_over() -> None:
    decoder = greeted()
    decoder.add(b"\x04\x0b\x04PING\x00\x10abcd" + b"\x04\x0a\x09SUBSCRIBE" + encode_message([b"{}"]))
    assert messages_of(decoder) == [Message((b"{}",), 1)]
    assert bytes(decoder.replies) == b"\x04\x09\x04PONGabcd"


@given(st.binary(max_size=600))
def test_no_bytes_raise_anything_but_a_fault(noise: bytes) -> None:
    for start in (b"", GREETING, GREETING + ready(b"DEALER")):
        decoder = Decoder(LIMIT)
        decoder.add(start + noise)
        try:
            messages_of(decoder)
        except ZmtpFault:
            continue
        assert decoder.buffered <= len(start + noise)
